"""BART (Lewis et al. 2020): an encoder and a decoder with learned positions, and norms after each part.

The tables of positions begin with two rows that no position has: once, they stood for padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.hub.config import ACTIVATIONS, Config, their_word
from glassbox.hub.correspondence import Correspondence, LaterRows, OneRow, same
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec

UNUSED_ROWS = 2


def read(config: Config) -> ModelSpec:
    width, heads = config.whole("d_model"), config.whole("encoder_attention_heads")
    hidden_width = config.whole("encoder_ffn_dim")
    config.demand("decoder_attention_heads", heads)
    config.demand("decoder_ffn_dim", hidden_width)
    config.demand("normalize_before", False)  # of files from before 2021, as the two after it
    config.demand("normalize_embedding", True)
    config.demand("add_final_layer_norm", False)
    return ModelSpec.checked(
        {
            "kind": "encoder-decoder",
            "vocabulary_size": config.whole("vocab_size"),
            "context": config.whole("max_position_embeddings"),
            "width": width,
            "encoder_layers": config.whole("encoder_layers"),
            "layers": config.whole("decoder_layers"),
            "heads": heads,
            "hidden_width": hidden_width,
            "activation": config.choice("activation_function", ACTIVATIONS, "gelu"),
            "embedding_scale": width**0.5 if config.flag("scale_embedding", default=False) else 1.0,
            "tied_embeddings": config.flag("tie_word_embeddings", default=True),
            "output_bias": True,
            "positions": "learned",
            "norm": "layer",
            "norm_bias": True,
            "norm_placement": "post",
            "embedding_norm": True,
            "final_norm": False,
            "attention_bias": "all",
            "feedforward_bias": True,
        }
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocabulary_size,
        "max_position_embeddings": spec.context,
        "d_model": spec.width,
        "encoder_layers": spec.encoder_layers or spec.layers,
        "decoder_layers": spec.layers,
        "encoder_attention_heads": spec.heads,
        "decoder_attention_heads": spec.heads,
        "encoder_ffn_dim": spec.hidden_width,
        "decoder_ffn_dim": spec.hidden_width,
        "activation_function": their_word(ACTIVATIONS, spec.activation),
        "scale_embedding": spec.embedding_scale != 1,
        "tie_word_embeddings": spec.tied_embeddings,
        "is_encoder_decoder": True,
    }


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    yield same("model.shared.weight", "embedding.tokens")
    for stack, ours, layers in (("encoder", "encoder.", spec.encoder_layers), ("decoder", "", spec.layers)):
        theirs = f"model.{stack}"
        table = (f"{theirs}.embed_positions.weight",)
        yield Correspondence(table, (f"{ours}embedding.positions",), LaterRows(UNUSED_ROWS))
        yield from _both(f"{theirs}.layernorm_embedding", f"{ours}embedding_norm.gain", f"{ours}embedding_norm.bias")
        for layer in range(layers):
            yield from _block(f"{theirs}.layers.{layer}", f"{ours}blocks.{layer}", cross=not ours)
    if not spec.tied_embeddings:
        yield same("lm_head.weight", "output.weight")
    yield Correspondence(("final_logits_bias",), ("output.bias",), OneRow())


def _block(theirs: str, ours: str, *, cross: bool) -> Iterator[Correspondence]:
    parts = [("self_attn", "attention")] + ([("encoder_attn", "cross_attention")] if cross else [])
    for their_part, our_part in parts:
        for letter, name in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "output")):
            yield from _both(f"{theirs}.{their_part}.{letter}", f"{ours}.{our_part}.{name}")
        norm = f"{ours}.{our_part}_norm"
        yield from _both(f"{theirs}.{their_part}_layer_norm", f"{norm}.gain", f"{norm}.bias")
    for their_name, our_name in (("fc1", "up"), ("fc2", "down")):
        yield from _both(f"{theirs}.{their_name}", f"{ours}.feedforward.{our_name}")
    norm = f"{ours}.feedforward_norm"
    yield from _both(f"{theirs}.final_layer_norm", f"{norm}.gain", f"{norm}.bias")


def _both(theirs: str, weight: str, bias: str | None = None) -> Iterator[Correspondence]:
    """A weight and its bias."""
    yield same(f"{theirs}.weight", weight)
    yield same(f"{theirs}.bias", bias or f"{weight}_bias")


FAMILY = Family(
    model_type="bart",
    architecture="BartForConditionalGeneration",
    read=read,
    write=write,
    tensors=tensors,
    prefix="",
    copies=("lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
)
