"""The one table of canonical weight names and shapes.

Every engine builds its parameters from it, checkpoints and exports use its names, and every count is a sum over it.
A matrix is (outputs, inputs), so that `y = x @ W.T`, as in PyTorch. Nothing is allocated: describing a model of
70 billion parameters costs microseconds.

    embedding.tokens                      (vocabulary, width)
    embedding.positions                   (context, width)            learned positions
    embedding.token_types                 (token_types, width)        token types
    relative_positions.scores             (relative_buckets, heads)   relative positions
    blocks.0.attention_norm.gain          (width,)
    blocks.0.attention.query              (heads * head_width, width)
    blocks.0.attention.key, .value        (key_value_heads * head_width, width)
    blocks.0.attention.output             (width, heads * head_width)
    blocks.0.feedforward_norm.gain        (width,)
    blocks.0.feedforward.gate, .up        (hidden_width, width)       gate: gated activations only
    blocks.0.feedforward.down             (width, hidden_width)
  or, with experts,
    blocks.0.feedforward.router           (experts, width)
    blocks.0.feedforward.experts.gate, .up  (experts, expert's hidden_width, width)
    blocks.0.feedforward.experts.down     (experts, width, expert's hidden_width)
    blocks.0.feedforward.shared.gate, .up, .down, and shared_gate (1, width)   shared experts, as one network
    final_norm.gain                       (width,)
    output.transform                      (width, width)              with output_transform
    output.weight                         (vocabulary or classes, width)
An encoder beside a decoder has the same names behind `encoder.`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from glassbox.spec.model import ModelSpec

Shape = tuple[int, ...]
Part = Literal["embedding", "positions", "attention", "feedforward", "norms", "output"]
PARTS: tuple[Part, ...] = ("embedding", "positions", "attention", "feedforward", "norms", "output")


def weight_shapes(spec: ModelSpec) -> dict[str, Shape]:
    """Canonical name -> shape, in the order in which the forward pass meets the weights."""
    return dict(_weights(spec))


def part_of(name: str) -> Part:
    """The part of the model that a weight belongs to; the parts have the colours of the pictures."""
    if "norm" in name:
        return "norms"
    if name.endswith(("embedding.positions", "relative_positions.scores")):
        return "positions"
    if name.endswith(("embedding.tokens", "embedding.token_types", "value_embedding")):
        return "embedding"
    if "attention." in name:
        return "attention"
    if "feedforward." in name:
        return "feedforward"
    return "output"


def _weights(spec: ModelSpec) -> Iterator[tuple[str, Shape]]:
    yield "embedding.tokens", (spec.vocabulary_size, spec.width)
    if spec.kind == "encoder-decoder":
        for name, shape in _stack(spec.encoder, cross=False):
            yield f"encoder.{name}", shape
    yield from _stack(spec, cross=spec.kind == "encoder-decoder")
    if spec.head == "vectors":
        return
    if spec.output_transform:
        yield "output.transform", (spec.width, spec.width)
        yield "output.transform_bias", (spec.width,)
        if spec.head == "language":
            yield from _norm(spec, "output.transform_norm")
    outputs = spec.classes if spec.head == "classes" else spec.vocabulary_size
    if not spec.tied_embeddings:
        yield "output.weight", (outputs, spec.width)
    if spec.output_bias:
        yield "output.bias", (outputs,)


def _stack(spec: ModelSpec, *, cross: bool) -> Iterator[tuple[str, Shape]]:
    """Everything between the table of tokens and the output."""
    if spec.positions == "learned":
        yield "embedding.positions", (spec.context, spec.width)
    if spec.token_types:
        yield "embedding.token_types", (spec.token_types, spec.width)
    if spec.positions == "relative":
        yield "relative_positions.scores", (spec.relative_buckets, spec.heads)
    if spec.embedding_norm:
        yield from _norm(spec, "embedding_norm")
    for layer in range(spec.layers):
        yield from _block(spec, f"blocks.{layer}", layer, cross=cross)
    if spec.final_norm:
        yield from _norm(spec, "final_norm")


def _block(spec: ModelSpec, prefix: str, layer: int, *, cross: bool) -> Iterator[tuple[str, Shape]]:
    yield from _norm(spec, f"{prefix}.attention_norm")
    yield from _attention(spec, f"{prefix}.attention")
    if not cross and spec.has_value_embedding(layer):
        yield f"{prefix}.attention.value_embedding", (spec.vocabulary_size, spec.key_value_heads * spec.head_width)
    if spec.norm_placement == "sandwich":
        yield from _norm(spec, f"{prefix}.attention_output_norm")
    if cross:
        yield from _norm(spec, f"{prefix}.cross_attention_norm")
        yield from _attention(spec, f"{prefix}.cross_attention")
        if spec.norm_placement == "sandwich":
            yield from _norm(spec, f"{prefix}.cross_attention_output_norm")
    yield from _norm(spec, f"{prefix}.feedforward_norm")
    yield from _feedforward(spec, f"{prefix}.feedforward", layer)
    if spec.norm_placement == "sandwich":
        yield from _norm(spec, f"{prefix}.feedforward_output_norm")


def _norm(spec: ModelSpec, prefix: str) -> Iterator[tuple[str, Shape]]:
    if spec.norm == "none":
        return
    if spec.norm_gain:
        yield f"{prefix}.gain", (spec.width,)
    if spec.norm_bias:
        yield f"{prefix}.bias", (spec.width,)


def _attention(spec: ModelSpec, prefix: str) -> Iterator[tuple[str, Shape]]:
    queries, keys = spec.heads * spec.head_width, spec.key_value_heads * spec.head_width
    for name, outputs in (("query", queries), ("key", keys), ("value", keys)):
        yield f"{prefix}.{name}", (outputs, spec.width)
        if spec.attention_bias != "none":
            yield f"{prefix}.{name}_bias", (outputs,)
    if spec.qk_norm and spec.norm_gain:
        yield f"{prefix}.query_norm.gain", (spec.head_width,)
        yield f"{prefix}.key_norm.gain", (spec.head_width,)
    yield f"{prefix}.output", (spec.width, queries)
    if spec.attention_bias == "all":
        yield f"{prefix}.output_bias", (spec.width,)


def _feedforward(spec: ModelSpec, prefix: str, layer: int) -> Iterator[tuple[str, Shape]]:
    if not spec.has_experts(layer):
        yield from _dense(spec, prefix, spec.hidden_width)
        return
    assert spec.experts is not None
    count, hidden = spec.experts.count, spec.experts.hidden_width
    yield f"{prefix}.router", (count, spec.width)
    for name in ("gate", "up") if spec.gated else ("up",):
        yield f"{prefix}.experts.{name}", (count, hidden, spec.width)
    yield f"{prefix}.experts.down", (count, spec.width, hidden)
    if spec.experts.shared:  # shared experts are always on together: one network of their summed hidden width
        yield from _dense(spec, f"{prefix}.shared", hidden * spec.experts.shared)
    if spec.experts.shared_gate:
        yield f"{prefix}.shared_gate", (1, spec.width)


def _dense(spec: ModelSpec, prefix: str, hidden: int) -> Iterator[tuple[str, Shape]]:
    for name in ("gate", "up") if spec.gated else ("up",):
        yield f"{prefix}.{name}", (hidden, spec.width)
        if spec.feedforward_bias:
            yield f"{prefix}.{name}_bias", (hidden,)
    yield f"{prefix}.down", (spec.width, hidden)
    if spec.feedforward_bias:
        yield f"{prefix}.down_bias", (spec.width,)
