"""Mixtral (Jiang et al. 2024): Mistral with a mixture of experts, two of eight for each token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.hub.config import Config
from glassbox.hub.correspondence import Correspondence, OneEach, same
from glassbox.hub.families.llama import IGNORED, attention, read_fields, read_gate, write_fields
from glassbox.hub.families.mistral import read_window
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec

MATRICES = (("w1", "gate"), ("w3", "up"), ("w2", "down"))


def read(config: Config) -> ModelSpec:
    fields = read_fields(config)
    experts = {
        "count": config.whole("num_local_experts", 8),
        "active": config.whole("num_experts_per_tok", 2),
        "hidden_width": fields["hidden_width"],
        "balance": config.number("router_aux_loss_coef", 0.001, zero=True),
    }
    return ModelSpec.checked(
        {**fields, "activation": read_gate(config), "window": read_window(config), "experts": experts}
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    fields = {**write_fields(spec), "sliding_window": spec.window}
    if spec.experts is not None:
        fields |= {
            "num_local_experts": spec.experts.count,
            "num_experts_per_tok": spec.experts.active,
            "intermediate_size": spec.experts.hidden_width,
            "router_aux_loss_coef": spec.experts.balance,
        }
    return fields


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    assert spec.experts is not None
    yield same("model.embed_tokens.weight", "embedding.tokens")
    for layer in range(spec.layers):
        theirs, ours = f"model.layers.{layer}", f"blocks.{layer}"
        yield same(f"{theirs}.input_layernorm.weight", f"{ours}.attention_norm.gain")
        yield from attention(spec, f"{theirs}.self_attn", f"{ours}.attention")
        yield same(f"{theirs}.post_attention_layernorm.weight", f"{ours}.feedforward_norm.gain")
        yield same(f"{theirs}.block_sparse_moe.gate.weight", f"{ours}.feedforward.router")
        for letter, name in MATRICES:
            each = tuple(
                f"{theirs}.block_sparse_moe.experts.{number}.{letter}.weight" for number in range(spec.experts.count)
            )
            yield Correspondence(each, (f"{ours}.feedforward.experts.{name}",), OneEach())
    yield same("model.norm.weight", "final_norm.gain")
    if not spec.tied_embeddings:
        yield same("lm_head.weight", "output.weight")


FAMILY = Family(
    model_type="mixtral",
    architecture="MixtralForCausalLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="model.",
    ignored=IGNORED,
)
