"""T5 and its later versions, Flan among them (Raffel et al. 2020): an encoder and a decoder with relative positions.

Scores aren't scaled. The first version ties its output to the embedding and scales what the output reads; later ones
gate their feed-forward networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.hub.config import Config, their_word
from glassbox.hub.correspondence import Correspondence, same
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec

NETWORKS = {
    "relu": "relu", "gated-gelu": "geglu_tanh", "gated-silu": "swiglu", "gelu": "gelu", "gelu_new": "gelu_tanh",
    "silu": "silu",
}  # fmt: skip
"""Their words for feed-forward networks -> ours."""


def read(config: Config) -> ModelSpec:
    width, layers = config.whole("d_model"), config.whole("num_layers")
    tied = config.flag("tie_word_embeddings", default=True)
    scaled = config.flag("scale_decoder_outputs", default=tied)
    return ModelSpec.checked(
        {
            "kind": "encoder-decoder",
            "vocabulary_size": config.whole("vocab_size"),
            "context": config.whole(
                "n_positions", 512
            ),  # relative positions know no end; this is what it was trained on
            "width": width,
            "encoder_layers": layers,
            "layers": config.whole("num_decoder_layers", layers),
            "heads": config.whole("num_heads"),
            "head_width": config.whole("d_kv"),
            "hidden_width": config.whole("d_ff"),
            "activation": config.choice("feed_forward_proj", NETWORKS, "relu"),
            "positions": "relative",
            "relative_buckets": config.whole("relative_attention_num_buckets", 32),
            "relative_distance": config.whole("relative_attention_max_distance", 128),
            "score_scale": 1.0,
            "logit_scale": width**-0.5 if scaled else 1.0,
            "tied_embeddings": tied,
            "norm": "rms",
            "norm_epsilon": config.number("layer_norm_epsilon", 1e-6),
        }
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocabulary_size,
        "n_positions": spec.context,
        "d_model": spec.width,
        "num_layers": spec.encoder_layers or spec.layers,
        "num_decoder_layers": spec.layers,
        "num_heads": spec.heads,
        "d_kv": spec.head_width,
        "d_ff": spec.hidden_width,
        "feed_forward_proj": their_word(NETWORKS, spec.activation),
        "relative_attention_num_buckets": spec.relative_buckets,
        "relative_attention_max_distance": spec.relative_distance,
        "scale_decoder_outputs": spec.logit_scale != 1,
        "tie_word_embeddings": spec.tied_embeddings,
        "layer_norm_epsilon": spec.norm_epsilon,
        "is_encoder_decoder": True,
        "decoder_start_token_id": 0,
    }


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    yield same("shared.weight", "embedding.tokens")
    for theirs, ours, layers in (("encoder", "encoder.", spec.encoder_layers), ("decoder", "", spec.layers)):
        table = f"{theirs}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield same(table, f"{ours}relative_positions.scores")
        for layer in range(layers):
            yield from _block(spec, f"{theirs}.block.{layer}.layer", f"{ours}blocks.{layer}", cross=not ours)
        yield same(f"{theirs}.final_layer_norm.weight", f"{ours}final_norm.gain")
    if not spec.tied_embeddings:
        yield same("lm_head.weight", "output.weight")


def _block(spec: ModelSpec, theirs: str, ours: str, *, cross: bool) -> Iterator[Correspondence]:
    parts = [("SelfAttention", "attention")] + ([("EncDecAttention", "cross_attention")] if cross else [])
    for place, (their_part, our_part) in enumerate(parts):
        yield same(f"{theirs}.{place}.layer_norm.weight", f"{ours}.{our_part}_norm.gain")
        for name in ("query", "key", "value", "output"):
            yield same(f"{theirs}.{place}.{their_part}.{name[0]}.weight", f"{ours}.{our_part}.{name}")
    place = len(parts)
    yield same(f"{theirs}.{place}.layer_norm.weight", f"{ours}.feedforward_norm.gain")
    names = (("wi_0", "gate"), ("wi_1", "up"), ("wo", "down")) if spec.gated else (("wi", "up"), ("wo", "down"))
    for their_name, our_name in names:
        yield same(f"{theirs}.{place}.DenseReluDense.{their_name}.weight", f"{ours}.feedforward.{our_name}")


FAMILY = Family(
    model_type="t5",
    architecture="T5ForConditionalGeneration",
    read=read,
    write=write,
    tensors=tensors,
    prefix="",
    ignored=("EncDecAttention.relative_attention_bias.weight",),  # of the first files; it was never used
    copies=("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"),
)
