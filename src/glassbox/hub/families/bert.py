"""BERT (Devlin et al. 2019): an encoder with learned positions, types of tokens, and norms after each part.

Three models share the name: one that finds masked words, one that classifies by its pooled first token, and the encoder
alone, which gives vectors. Files hold more than their model needs (a pooler, the task of the next sentence): that is
left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.config import ACTIVATIONS, Config, their_word
from glassbox.hub.correspondence import Correspondence, same
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec

HEADS = {"BertForMaskedLM": "language", "BertForSequenceClassification": "classes", "BertModel": "vectors"}


def read(config: Config) -> ModelSpec:
    config.demand("position_embedding_type", "absolute")
    config.demand("is_decoder", False)
    config.demand("add_cross_attention", False)
    return ModelSpec.checked(
        {
            "kind": "encoder",
            "vocabulary_size": config.whole("vocab_size"),
            "context": config.whole("max_position_embeddings"),
            "width": config.whole("hidden_size"),
            "layers": config.whole("num_hidden_layers"),
            "heads": config.whole("num_attention_heads"),
            "hidden_width": config.whole("intermediate_size"),
            "activation": config.choice("hidden_act", ACTIVATIONS, "gelu"),
            "norm_epsilon": config.number("layer_norm_eps", 1e-12),
            "token_types": config.whole("type_vocab_size", 2),
            "positions": "learned",
            "norm": "layer",
            "norm_bias": True,
            "norm_placement": "post",
            "embedding_norm": True,
            "final_norm": False,
            "attention_bias": "all",
            "feedforward_bias": True,
            **_read_head(config),
        }
    )


def _read_head(config: Config) -> dict[str, Any]:
    architectures = config.values.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    if not isinstance(name, str) or name not in HEADS:
        raise BadInput(
            f"architectures in {config.source} is {architectures!r:.60}, a kind of BERT that Glassbox doesn't carry.",
            f"Choose one of {', '.join(HEADS)}.",
        )
    if name == "BertModel":
        return {"head": "vectors"}
    fields: dict[str, Any] = {"head": HEADS[name], "output_transform": True, "output_bias": True}
    if name == "BertForMaskedLM":
        return {**fields, "tied_embeddings": config.flag("tie_word_embeddings", default=True)}
    return {**fields, "classes": len(config.section("id2label").values) or 2}


def write(spec: ModelSpec) -> dict[str, Any]:
    labels = {str(number): f"LABEL_{number}" for number in range(spec.classes)}
    classes = {"id2label": labels, "label2id": {label: int(number) for number, label in labels.items()}}
    return {
        "architectures": [name for name, head in HEADS.items() if head == spec.head],
        "vocab_size": spec.vocabulary_size,
        "max_position_embeddings": spec.context,
        "hidden_size": spec.width,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "intermediate_size": spec.hidden_width,
        "hidden_act": their_word(ACTIVATIONS, spec.activation),
        "layer_norm_eps": spec.norm_epsilon,
        "type_vocab_size": spec.token_types,
        "tie_word_embeddings": spec.tied_embeddings or spec.head != "language",
        **(classes if spec.classes else {}),
    }


def tensors(spec: ModelSpec) -> Iterator[Correspondence]:
    prefix = "" if spec.head == "vectors" else "bert."
    for theirs, ours in (("word", "tokens"), ("position", "positions"), ("token_type", "token_types")):
        yield same(f"{prefix}embeddings.{theirs}_embeddings.weight", f"embedding.{ours}")
    yield from _norm(f"{prefix}embeddings.LayerNorm", "embedding_norm")
    for layer in range(spec.layers):
        yield from _block(f"{prefix}encoder.layer.{layer}", f"blocks.{layer}")
    if spec.head == "classes":
        yield from _both("bert.pooler.dense", "output.transform")
        yield same("classifier.weight", "output.weight")
        yield same("classifier.bias", "output.bias")
    if spec.head == "language":
        yield from _both("cls.predictions.transform.dense", "output.transform")
        yield from _norm("cls.predictions.transform.LayerNorm", "output.transform_norm")
        if not spec.tied_embeddings:
            yield same("cls.predictions.decoder.weight", "output.weight")
        yield same("cls.predictions.bias", "output.bias")


def _block(theirs: str, ours: str) -> Iterator[Correspondence]:
    for name in ("query", "key", "value"):
        yield from _both(f"{theirs}.attention.self.{name}", f"{ours}.attention.{name}")
    yield from _both(f"{theirs}.attention.output.dense", f"{ours}.attention.output")
    yield from _norm(f"{theirs}.attention.output.LayerNorm", f"{ours}.attention_norm")
    yield from _both(f"{theirs}.intermediate.dense", f"{ours}.feedforward.up")
    yield from _both(f"{theirs}.output.dense", f"{ours}.feedforward.down")
    yield from _norm(f"{theirs}.output.LayerNorm", f"{ours}.feedforward_norm")


def _both(theirs: str, ours: str) -> Iterator[Correspondence]:
    yield same(f"{theirs}.weight", ours)
    yield same(f"{theirs}.bias", f"{ours}_bias")


def _norm(theirs: str, ours: str) -> Iterator[Correspondence]:
    yield same(f"{theirs}.weight", f"{ours}.gain")
    yield same(f"{theirs}.bias", f"{ours}.bias")


FAMILY = Family(
    model_type="bert",
    architecture="BertForMaskedLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="bert.",
    ignored=(
        "pooler.dense.weight", "pooler.dense.bias", "cls.seq_relationship.weight", "cls.seq_relationship.bias",
        "embeddings.position_ids", "cls.predictions.decoder.bias",
    ),
    copies=("cls.predictions.decoder.weight",),
    renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
)  # fmt: skip
