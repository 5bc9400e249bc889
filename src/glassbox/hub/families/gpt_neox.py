"""GPT-NeoX and Pythia (Black et al. 2022, Biderman et al. 2023): a part of each head rotated, both parts side by side.

Query, key and value of a head lie together in one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.hub.config import ACTIVATIONS, Config, read_rotary, their_word, write_rotary
from glassbox.hub.correspondence import ByHead, Correspondence, same
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec


def read(config: Config) -> ModelSpec:
    return ModelSpec.checked(
        {
            "vocabulary_size": config.whole("vocab_size"),
            "context": config.whole("max_position_embeddings"),
            "width": config.whole("hidden_size"),
            "layers": config.whole("num_hidden_layers"),
            "heads": config.whole("num_attention_heads"),
            "hidden_width": config.whole("intermediate_size"),
            "activation": config.choice("hidden_act", ACTIVATIONS, "gelu"),
            "norm_epsilon": config.number("layer_norm_eps", 1e-5),
            "parallel_residual": config.flag("use_parallel_residual", default=True),
            "tied_embeddings": config.flag("tie_word_embeddings", default=False),
            "attention_bias": "all" if config.flag("attention_bias", default=True) else "none",
            "norm": "layer",
            "norm_bias": True,
            "feedforward_bias": True,
            **read_rotary(config, fraction=0.25),
        }
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocabulary_size,
        "max_position_embeddings": spec.context,
        "hidden_size": spec.width,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "intermediate_size": spec.hidden_width,
        "hidden_act": their_word(ACTIVATIONS, spec.activation),
        "layer_norm_eps": spec.norm_epsilon,
        "use_parallel_residual": spec.parallel_residual,
        "tie_word_embeddings": spec.tied_embeddings,
        "attention_bias": spec.attention_bias == "all",
        **write_rotary(spec.rotary_base, spec.rotary_scaling, spec.rotary_fraction),
        "rotary_emb_base": spec.rotary_base,  # as readers before transformers 5 look for them
        "rotary_pct": spec.rotary_fraction,
    }


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    yield same("gpt_neox.embed_in.weight", "embedding.tokens")
    for layer in range(spec.layers):
        yield from _block(spec, f"gpt_neox.layers.{layer}", f"blocks.{layer}")
    yield same("gpt_neox.final_layer_norm.weight", "final_norm.gain")
    yield same("gpt_neox.final_layer_norm.bias", "final_norm.bias")
    if not spec.tied_embeddings:
        yield same("embed_out.weight", "output.weight")


def _block(spec: ModelSpec, theirs: str, ours: str) -> Iterator[Correspondence]:
    for their_norm, our_norm in (
        ("input_layernorm", "attention_norm"),
        ("post_attention_layernorm", "feedforward_norm"),
    ):
        yield same(f"{theirs}.{their_norm}.weight", f"{ours}.{our_norm}.gain")
        yield same(f"{theirs}.{their_norm}.bias", f"{ours}.{our_norm}.bias")
    parts = [("weight", "")] + ([("bias", "_bias")] if spec.attention_bias == "all" else [])
    for their_end, our_end in parts:
        projections = tuple(f"{ours}.attention.{name}{our_end}" for name in ("query", "key", "value"))
        yield Correspondence((f"{theirs}.attention.query_key_value.{their_end}",), projections, ByHead(spec.heads))
        yield same(f"{theirs}.attention.dense.{their_end}", f"{ours}.attention.output{our_end}")
    for their_end, our_end in (("weight", ""), ("bias", "_bias")):
        yield same(f"{theirs}.mlp.dense_h_to_4h.{their_end}", f"{ours}.feedforward.up{our_end}")
        yield same(f"{theirs}.mlp.dense_4h_to_h.{their_end}", f"{ours}.feedforward.down{our_end}")


FAMILY = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="gpt_neox.",
    ignored=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
    copies=("embed_out.weight",),
)
