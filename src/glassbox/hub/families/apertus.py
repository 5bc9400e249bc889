"""Apertus (Swiss AI 2025) with a squared ReLU: Llama without a gate, queries and keys normalised per head.

That is the architecture which `pretrain` takes when nothing is said, but for the gains of its norms, which it hasn't
and which are written as ones. The published Apertus models have an activation of their own, which isn't carried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.config import ACTIVATIONS, Config, their_word
from glassbox.hub.correspondence import Correspondence, same
from glassbox.hub.families.llama import IGNORED, attention, read_fields, write_fields
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec


def read(config: Config) -> ModelSpec:
    activation = config.choice("hidden_act", ACTIVATIONS, "xielu")
    if not config.section("rope_parameters").values:
        raise BadInput(f"{config.source} has no rope_parameters.", "Copy the folder again.")
    return ModelSpec.checked(
        {
            **read_fields(config),
            "activation": activation,
            "norm_epsilon": config.number("rms_norm_eps", 1e-5),
            "attention_bias": "all" if config.flag("attention_bias", default=False) else "none",
            "qk_norm": True,
        }
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    return {
        **write_fields(spec),
        "hidden_act": their_word(ACTIVATIONS, spec.activation),
        "attention_bias": spec.attention_bias == "all",
    }


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    yield same("model.embed_tokens.weight", "embedding.tokens")
    for layer in range(spec.layers):
        theirs, ours = f"model.layers.{layer}", f"blocks.{layer}"
        yield same(f"{theirs}.attention_layernorm.weight", f"{ours}.attention_norm.gain")
        yield from attention(spec, f"{theirs}.self_attn", f"{ours}.attention")
        yield same(f"{theirs}.feedforward_layernorm.weight", f"{ours}.feedforward_norm.gain")
        for name in ("up", "down"):
            yield same(f"{theirs}.mlp.{name}_proj.weight", f"{ours}.feedforward.{name}")
    yield same("model.norm.weight", "final_norm.gain")
    if not spec.tied_embeddings:
        yield same("lm_head.weight", "output.weight")


FAMILY = Family(
    model_type="apertus",
    architecture="ApertusForCausalLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="model.",
    ignored=IGNORED,
)
