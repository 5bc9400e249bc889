"""The one table of intermediate values: canonical names and shapes, the same in every engine, trace, view and lesson.

embedding.token_vectors               (batch, length, width)      times the embedding scale
embedding.position_vectors            (length, width)             learned and sinusoidal positions
embedding.type_vectors                (batch, length, width)      token types
embedding.output                      (batch, length, width)
blocks.0.attention_norm.output        (batch, length, width)
blocks.0.attention.projected_queries  (batch, heads, length, head_width)             before norm and rotation,
blocks.0.attention.projected_keys     (batch, key_value_heads, length, head_width)   where there is one
blocks.0.attention.queries            (batch, heads, length, head_width)
blocks.0.attention.keys, .values      (batch, key_value_heads, length, head_width)
blocks.0.attention.scores, .weights   (batch, heads, length, length)      before and after the softmax
blocks.0.attention.mixed              (batch, heads, length, head_width)  values weighted, before the output matrix
blocks.0.attention.output             (batch, length, width)
blocks.0.attention_residual           (batch, length, width)      the stream with attention's output added
blocks.0.feedforward_norm.output      (batch, length, width)
blocks.0.feedforward.gate, .up        (batch, length, hidden_width)       before the activation
blocks.0.feedforward.hidden           (batch, length, hidden_width)       after it
  or, with experts (of each token those that it visits, the most likely first),
blocks.0.feedforward.router_logits, .router_probabilities  (batch, length, experts)   before and after the softmax
blocks.0.feedforward.router_weights   (batch, length, experts)    what each expert counts; 0 where not visited
blocks.0.feedforward.experts.gate, .up, .hidden            (batch, length, active, expert's hidden_width)
blocks.0.feedforward.experts.output   (batch, length, width)      weighted and summed
blocks.0.feedforward.shared.gate, .up, .hidden, .output    as of one network
blocks.0.feedforward.shared_share     (batch, length, 1)          what the shared experts count, with a shared gate
blocks.0.feedforward.output           (batch, length, width)
blocks.0.residual                     (batch, length, width)      the stream that the block hands on
final_norm.output                     (batch, length, width)
  and in an encoder-decoder all of the encoder's behind `encoder.` (its length is the source's), and
blocks.0.cross_attention_norm.output  (batch, length, width)
blocks.0.cross_attention.queries      (batch, heads, length, head_width), and .keys, .values of the source's length
blocks.0.cross_attention.scores, .weights   (batch, heads, length, source_length)
blocks.0.cross_attention.mixed, .output, and blocks.0.cross_attention_residual   as of attention
output.transformed                    (batch, length, width) or (batch, width)   with output_transform
logits                                (batch, length, vocabulary) or (batch, classes) or, of vectors, as the last norm
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec

Shape = tuple[int, ...]


def value_shapes(spec: ModelSpec, batch: int, length: int, source_length: int = 1) -> dict[str, Shape]:
    """Canonical name -> shape of every value of a forward pass over (batch, length) tokens, in order of computation.

    source_length: of what an encoder-decoder reads before.
    """
    return dict(_values(spec, batch, length, source_length))


class Keep:
    """Collects the values asked for as the forward pass offers them by name.

    Each part of the model gets `keep.under("attention")`, which puts its own name before the names offered to it.
    """

    def __init__(self, wanted: frozenset[str], values: dict[str, Any], prefix: str = "") -> None:
        self.values = values
        self._wanted = wanted
        self._prefix = prefix

    def __call__(self, name: str, value: Any) -> None:
        if self._prefix + name in self._wanted:
            self.values[self._prefix + name] = value

    def under(self, name: str) -> Keep:
        return Keep(self._wanted, self.values, f"{self._prefix}{name}.")

    def wants(self, name: str) -> bool:
        return self._prefix + name in self._wanted


class _KeepNothing(Keep):
    def __call__(self, name: str, value: Any) -> None:
        pass

    def under(self, name: str) -> Keep:
        return self

    def wants(self, name: str) -> bool:
        return False


NOTHING = _KeepNothing(frozenset(), {})


def keeping(spec: ModelSpec, patterns: Iterable[str]) -> Keep:
    """A collector for names and patterns (`blocks.*.attention.weights`).

    Raises BadInput for one that fits no value of this model.
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    if not patterns:
        return NOTHING
    names = value_shapes(spec, 1, 1)
    wanted: set[str] = set()
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise BadInput(
                f"This model has no intermediate value called {pattern!r}.",
                f"Ask for one of these: {', '.join(_once_per_kind(names))}.",
            )
        wanted.update(found)
    return Keep(frozenset(wanted), {})


def _once_per_kind(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(re.sub(r"\bblocks\.\d+\.", "blocks.*.", name) for name in names))


def _values(spec: ModelSpec, batch: int, length: int, source_length: int) -> Iterator[tuple[str, Shape]]:
    if spec.kind == "encoder-decoder":
        for name, shape in _stack(spec.encoder, batch, source_length, 0):
            yield f"encoder.{name}", shape
    yield from _stack(spec, batch, length, source_length)
    shape: Shape = (batch,) if spec.head == "classes" else (batch, length)
    if spec.output_transform:
        yield "output.transformed", (*shape, spec.width)
    outputs = {"classes": spec.classes, "vectors": spec.width, "language": spec.vocabulary_size}
    yield "logits", (*shape, outputs[spec.head])


def _stack(spec: ModelSpec, batch: int, length: int, source_length: int) -> Iterator[tuple[str, Shape]]:
    stream = (batch, length, spec.width)
    yield "embedding.token_vectors", stream
    if spec.positions in ("learned", "sinusoidal"):
        yield "embedding.position_vectors", (length, spec.width)
    if spec.token_types:
        yield "embedding.type_vectors", stream
    yield "embedding.output", stream
    if spec.embedding_norm:
        yield "embedding_norm.output", stream
    for layer in range(spec.layers):
        for name, shape in _block(spec, layer, batch, length, source_length):
            yield f"blocks.{layer}.{name}", shape
    if spec.final_norm and spec.norm != "none":
        yield "final_norm.output", stream


def _block(spec: ModelSpec, layer: int, batch: int, length: int, source_length: int) -> Iterator[tuple[str, Shape]]:
    stream = (batch, length, spec.width)
    rotated = spec.positions == "rotary"
    inside = _attention(spec, batch, length, length, projected=spec.qk_norm or rotated)
    yield from _part(spec, "attention", stream, inside, residual=not spec.parallel_residual)
    if spec.kind == "encoder-decoder":
        inside = _attention(spec, batch, length, source_length, projected=spec.qk_norm)
        yield from _part(spec, "cross_attention", stream, inside, residual=True)
    yield from _part(spec, "feedforward", stream, _feedforward(spec, layer, batch, length), residual=False)
    yield "residual", stream


def _part(
    spec: ModelSpec, name: str, stream: Shape, inside: Iterator[tuple[str, Shape]], *, residual: bool
) -> Iterator[tuple[str, Shape]]:
    """A part of a block with the norms around it, and the stream with its output added."""
    if spec.norm != "none" and spec.norm_placement != "post":
        yield f"{name}_norm.output", stream
    for inner, shape in inside:
        yield f"{name}.{inner}", shape
    if spec.norm_placement == "sandwich":
        yield f"{name}_output_norm.output", stream
    if residual:
        yield f"{name}_residual", stream
    if spec.norm_placement == "post":
        yield f"{name}_norm.output", stream


def _attention(spec: ModelSpec, batch: int, length: int, seen: int, *, projected: bool) -> Iterator[tuple[str, Shape]]:
    """seen: tokens that there are keys of; projected: do norm or rotation change queries and keys?"""
    queries = (batch, spec.heads, length, spec.head_width)
    keys = (batch, spec.key_value_heads, seen, spec.head_width)
    if projected:
        yield "projected_queries", queries
        yield "projected_keys", keys
    yield "queries", queries
    yield "keys", keys
    yield "values", keys
    yield "scores", (batch, spec.heads, length, seen)
    yield "weights", (batch, spec.heads, length, seen)
    yield "mixed", queries
    yield "output", (batch, length, spec.width)


def _feedforward(spec: ModelSpec, layer: int, batch: int, length: int) -> Iterator[tuple[str, Shape]]:
    inner = ("gate", "up", "hidden") if spec.gated else ("up", "hidden")
    stream = (batch, length, spec.width)
    experts = spec.experts
    if experts is None or not spec.has_experts(layer):
        for name in inner:
            yield name, (batch, length, spec.hidden_width)
        yield "output", stream
        return
    for name in ("router_logits", "router_probabilities", "router_weights"):
        yield name, (batch, length, experts.count)
    for name in inner:
        yield f"experts.{name}", (batch, length, experts.active, experts.hidden_width)
    yield "experts.output", stream
    if experts.shared:
        for name in inner:
            yield f"shared.{name}", (batch, length, experts.hidden_width * experts.shared)
        yield "shared.output", stream
    if experts.shared_gate:
        yield "shared_share", (batch, length, 1)
    yield "output", stream
