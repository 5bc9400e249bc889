"""Llama 2 and 3 (Touvron et al. 2023, Grattafiori et al. 2024): rotary, RMSNorm, SwiGLU, grouped queries.

Mistral, Mixtral and Qwen keep its names and most of its config, and begin from the functions here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.hub.config import GATES, Config, read_rotary, their_word, write_rotary
from glassbox.hub.correspondence import Correspondence, same
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec

IGNORED = (".rotary_emb.inv_freq",)


def read_fields(config: Config) -> dict[str, Any]:
    """The spec's fields that all models like Llama have, but for the activation."""
    heads = config.whole("num_attention_heads")
    width = config.whole("hidden_size")
    return {
        "vocabulary_size": config.whole("vocab_size"),
        "context": config.whole("max_position_embeddings"),
        "width": width,
        "layers": config.whole("num_hidden_layers"),
        "heads": heads,
        "key_value_heads": config.whole("num_key_value_heads", heads),
        "head_width": config.whole("head_dim", max(1, width // heads)),
        "hidden_width": config.whole("intermediate_size"),
        "norm": "rms",
        "norm_epsilon": config.number("rms_norm_eps", 1e-6),
        "tied_embeddings": config.flag("tie_word_embeddings", default=False),
        **read_rotary(config),
    }


def read_gate(config: Config) -> str:
    """The activation of a gated feed-forward network."""
    return config.choice("hidden_act", GATES, "silu")


def write_fields(spec: ModelSpec) -> dict[str, Any]:
    """The same, the other way."""
    return {
        "vocab_size": spec.vocabulary_size,
        "max_position_embeddings": spec.context,
        "hidden_size": spec.width,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.key_value_heads,
        "head_dim": spec.head_width,
        "intermediate_size": spec.hidden_width,
        "hidden_act": their_word(GATES, spec.activation),
        "rms_norm_eps": spec.norm_epsilon,
        "tie_word_embeddings": spec.tied_embeddings,
        **write_rotary(spec.rotary_base, spec.rotary_scaling),
    }


def read(config: Config) -> ModelSpec:
    return ModelSpec.checked(
        {
            **read_fields(config),
            "activation": read_gate(config),
            "attention_bias": "all" if config.flag("attention_bias", default=False) else "none",
            "feedforward_bias": config.flag("mlp_bias", default=False),
        }
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    biases = {"attention_bias": spec.attention_bias == "all", "mlp_bias": spec.feedforward_bias}
    return {**write_fields(spec), **biases}


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    yield same("model.embed_tokens.weight", "embedding.tokens")
    for layer in range(spec.layers):
        theirs, ours = f"model.layers.{layer}", f"blocks.{layer}"
        yield same(f"{theirs}.input_layernorm.weight", f"{ours}.attention_norm.gain")
        yield from attention(spec, f"{theirs}.self_attn", f"{ours}.attention")
        yield same(f"{theirs}.post_attention_layernorm.weight", f"{ours}.feedforward_norm.gain")
        yield from feedforward(spec, theirs, ours)
    yield same("model.norm.weight", "final_norm.gain")
    if not spec.tied_embeddings:
        yield same("lm_head.weight", "output.weight")


def attention(spec: ModelSpec, theirs: str, ours: str) -> Iterator[Correspondence]:
    for their_letter, our_name in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output")):
        yield same(f"{theirs}.{their_letter}_proj.weight", f"{ours}.{our_name}")
        if spec.attention_bias == "all" or (spec.attention_bias == "inputs" and our_name != "output"):
            yield same(f"{theirs}.{their_letter}_proj.bias", f"{ours}.{our_name}_bias")
    if spec.qk_norm:
        yield same(f"{theirs}.q_norm.weight", f"{ours}.query_norm.gain")
        yield same(f"{theirs}.k_norm.weight", f"{ours}.key_norm.gain")


def feedforward(spec: ModelSpec, theirs: str, ours: str) -> Iterator[Correspondence]:
    for name in ("gate", "up", "down"):
        yield same(f"{theirs}.mlp.{name}_proj.weight", f"{ours}.feedforward.{name}")
        if spec.feedforward_bias:
            yield same(f"{theirs}.mlp.{name}_proj.bias", f"{ours}.feedforward.{name}_bias")


FAMILY = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="model.",
    ignored=IGNORED,
)
