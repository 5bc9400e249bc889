"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm, all biases, matrices stored as (inputs, outputs)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.hub.config import ACTIVATIONS, Config, their_word
from glassbox.hub.correspondence import Correspondence, Stacked, Turned, same
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec


def read(config: Config) -> ModelSpec:
    config.demand("scale_attn_weights", True)
    config.demand("scale_attn_by_inverse_layer_idx", False)
    config.demand("add_cross_attention", False)
    width = config.whole("n_embd")
    return ModelSpec.checked(
        {
            "vocabulary_size": config.whole("vocab_size"),
            "context": config.whole("n_positions"),
            "width": width,
            "layers": config.whole("n_layer"),
            "heads": config.whole("n_head"),
            "hidden_width": config.whole("n_inner", 4 * width),
            "activation": config.choice("activation_function", ACTIVATIONS, "gelu_new"),
            "norm_epsilon": config.number("layer_norm_epsilon", 1e-5),
            "tied_embeddings": config.flag("tie_word_embeddings", default=True),
            "positions": "learned",
            "norm": "layer",
            "norm_bias": True,
            "attention_bias": "all",
            "feedforward_bias": True,
        }
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocabulary_size,
        "n_positions": spec.context,
        "n_embd": spec.width,
        "n_layer": spec.layers,
        "n_head": spec.heads,
        "n_inner": spec.hidden_width,
        "activation_function": their_word(ACTIVATIONS, spec.activation),
        "layer_norm_epsilon": spec.norm_epsilon,
        "tie_word_embeddings": spec.tied_embeddings,
    }


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    yield same("transformer.wte.weight", "embedding.tokens")
    yield same("transformer.wpe.weight", "embedding.positions")
    for layer in range(spec.layers):
        yield from _block(f"transformer.h.{layer}", f"blocks.{layer}")
    yield same("transformer.ln_f.weight", "final_norm.gain")
    yield same("transformer.ln_f.bias", "final_norm.bias")
    if not spec.tied_embeddings:
        yield same("lm_head.weight", "output.weight")


def _block(theirs: str, ours: str) -> Iterator[Correspondence]:
    for their_norm, our_norm in (("ln_1", "attention_norm"), ("ln_2", "feedforward_norm")):
        yield same(f"{theirs}.{their_norm}.weight", f"{ours}.{our_norm}.gain")
        yield same(f"{theirs}.{their_norm}.bias", f"{ours}.{our_norm}.bias")
    for their_matrix, our_matrices in (
        ("attn.c_attn", ("attention.query", "attention.key", "attention.value")),
        ("attn.c_proj", ("attention.output",)),
        ("mlp.c_fc", ("feedforward.up",)),
        ("mlp.c_proj", ("feedforward.down",)),
    ):
        matrices = tuple(f"{ours}.{name}" for name in our_matrices)
        yield Correspondence((f"{theirs}.{their_matrix}.weight",), matrices, Turned())
        yield Correspondence((f"{theirs}.{their_matrix}.bias",), tuple(f"{name}_bias" for name in matrices), Stacked())


FAMILY = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    read=read,
    write=write,
    tensors=tensors,
    prefix="transformer.",
    ignored=(".attn.bias", ".attn.masked_bias"),
)
