"""Attention: every token gathers from the tokens that it may see, weighted by how well its query fits their keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add
from typing import TYPE_CHECKING

from glassbox.engines.scalars.cache import Cache, Heads
from glassbox.engines.scalars.linear import added, linear
from glassbox.engines.scalars.normalization import Norm
from glassbox.engines.scalars.parameters import Parameters
from glassbox.engines.scalars.positions import Turn, rotate
from glassbox.engines.scalars.relative_positions import RelativePositions
from glassbox.engines.scalars.value import Matrix, Value, Vector, dot, total
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec

if TYPE_CHECKING:
    from glassbox.engines.scalars.source import Source

Route = list[tuple[Vector, list[int]]]  # of each token that is there: its probability of every expert, and its experts


@dataclass(slots=True)
class Surroundings:
    """What the blocks share while one sequence passes through them: who is there, where, and who may look at whom.

    tokens:  ids, (length,).
    start:   the position of the first of them; above 0 when a cache holds what came before.
    turns:   cosines and sines of each position, with rotary positions.
    slopes:  what each head subtracts from a score for each step of distance, with ALiBi.
    visible: for each query, the positions of the keys that it may look at.
    present: which of the tokens are no padding, (length,); None when all are there.
    relative: what is added to a score for the distance between query and key, with relative positions.
    routes:  gets, of each layer with experts, who went where.
    source:  what the encoder has read, for cross-attention.
    """

    tokens: Sequence[int]
    start: int
    turns: list[Turn] | None
    slopes: list[float] | None
    visible: list[list[int]]
    cache: Cache | None
    present: Sequence[int] | None = None
    relative: RelativePositions | None = None
    routes: list[Route] = field(default_factory=list)
    source: Source | None = None


def softmax(scores: Vector) -> Vector:
    """wᵢ = exp(sᵢ) / Σ exp(sⱼ); taking the largest score from all changes nothing but keeps exp from overflowing."""
    largest = max(score.data for score in scores)
    exponentials = [(score - largest).exp() for score in scores]
    sum_of_all = total(exponentials)
    return [exponential / sum_of_all for exponential in exponentials]


class Attention:
    """Multi-head attention (Vaswani 2017, §3.2), heads sharing keys and values in groups (Ainslie 2023) if asked."""

    def __init__(self, spec: ModelSpec, layer: int, parameters: Parameters) -> None:
        self.layer = layer
        self.heads, self.key_value_heads, self.head_width = spec.heads, spec.key_value_heads, spec.head_width
        self.sharing = spec.heads // spec.key_value_heads  # heads that read the same keys and values
        self.scale = spec.score_scale
        self.query, self.query_bias = parameters["query"], parameters.get("query_bias")
        self.key, self.key_bias = parameters["key"], parameters.get("key_bias")
        self.value, self.value_bias = parameters["value"], parameters.get("value_bias")
        self.output, self.output_bias = parameters["output"], parameters.get("output_bias")
        self.query_norm = HeadNorm(spec, parameters.under("query_norm")) if spec.qk_norm else None
        self.key_norm = HeadNorm(spec, parameters.under("key_norm")) if spec.qk_norm else None
        self.value_embedding = parameters.get("value_embedding")

    def forward(self, x: Matrix, around: Surroundings, keep: Keep) -> Matrix:
        """y = join(softmax(scale · Q Kᵀ + bias) V) Oᵀ: (length, width) -> the same"""
        queries = self._split(linear(x, self.query, self.query_bias))  # (heads, length, head_width)
        keys = self._split(linear(x, self.key, self.key_bias))  # (key_value_heads, length, head_width)
        values = self._split(self._values(x, around))  # (key_value_heads, length, head_width)
        if self.query_norm is not None or around.turns is not None:
            keep("projected_queries", queries)
            keep("projected_keys", keys)
        queries = turned(queries, around, self.query_norm)
        keys = turned(keys, around, self.key_norm)
        keep("queries", queries)
        keep("keys", keys)
        keep("values", values)
        if around.cache is not None:
            keys, values = around.cache.extend(self.layer, keys, values)
        return self._gather(queries, keys, values, around, keep)

    def _gather(self, queries: Heads, keys: Heads, values: Heads, around: Surroundings, keep: Keep) -> Matrix:
        """From queries, keys and values to the output, (length, width)."""
        shared = [head // self.sharing for head in range(self.heads)]  # the keys and values that a head reads
        heads = [self._mix(queries[h], keys[s], values[s], around, h) for h, s in enumerate(shared)]
        mixed, scores, weights = map(list, zip(*heads, strict=True))
        if keep.wants("scores"):
            keep("scores", [_whole(rows, around.visible, len(keys[0]), -math.inf) for rows in scores])
        if keep.wants("weights"):
            keep("weights", [_whole(rows, around.visible, len(keys[0]), 0.0) for rows in weights])
        keep("mixed", mixed)
        output = linear(_join(mixed), self.output, self.output_bias)  # (length, width)
        keep("output", output)
        return output

    def _mix(
        self, queries: Matrix, keys: Matrix, values: Matrix, around: Surroundings, head: int
    ) -> tuple[Matrix, Matrix, Matrix]:
        """One head: sᵢⱼ = scale · qᵢ·kⱼ - slope |i - j| + relative[i - j], w = softmax(s), yᵢ = Σⱼ wᵢⱼ vⱼ

        No score is computed for a key that the query may not look at. Returns y, (length, head_width), and s and w,
        a row for each query and in it a value for each key that it sees.
        """
        mixed: Matrix = []
        scores: Matrix = []
        weights: Matrix = []
        for position, (query, seen) in enumerate(zip(queries, around.visible, strict=True), around.start):
            row = [dot(query, keys[key]) * self.scale for key in seen]
            if around.slopes is not None:
                row = [score - around.slopes[head] * abs(position - key) for score, key in zip(row, seen, strict=True)]
            if around.relative is not None:
                row = list(map(add, row, [around.relative.score(position - key, head) for key in seen]))
            scores.append(row)
            weights.append(softmax(row))
            channels = zip(*[values[key] for key in seen], strict=True)  # (head_width, keys seen)
            mixed.append([dot(weights[-1], list(channel)) for channel in channels])
        return mixed, scores, weights

    def _values(self, x: Matrix, around: Surroundings) -> Matrix:
        """v = x Vᵀ, plus the token's value embedding: (length, width) -> (length, key_value_heads * head_width)"""
        values = linear(x, self.value, self.value_bias)
        if self.value_embedding is None:
            return values
        return added(values, [self.value_embedding[token] for token in around.tokens])

    def _split(self, x: Matrix) -> Heads:
        """(length, heads * head_width) -> (heads, length, head_width)"""
        width = self.head_width
        return [[vector[at : at + width] for vector in x] for at in range(0, len(x[0]), width)]


class HeadNorm(Norm):
    """RMSNorm of one head's queries or keys (Henry et al. 2020; gain as in Qwen 3)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.centred = False
        self.group_width = spec.head_width
        self.epsilon = spec.norm_epsilon
        self.gain = parameters.get("gain")
        self.bias = None


def turned(heads: Heads, around: Surroundings, norm: HeadNorm | None) -> Heads:
    """Queries or keys, (their heads, length, head_width), normalised and rotated where the spec says so."""
    if norm is not None:
        heads = [norm.forward(vectors) for vectors in heads]
    if around.turns is not None:
        heads = [rotate(vectors, around.turns) for vectors in heads]
    return heads


def _join(heads: Heads) -> Matrix:
    """(heads, length, head_width) -> (length, heads * head_width)"""
    return [[value for vector in vectors for value in vector] for vectors in zip(*heads, strict=True)]


def _whole(rows: Matrix, visible: list[list[int]], length: int, unseen: float) -> Matrix:
    """What each query has for the keys that it sees, as a whole matrix: (queries, keys)."""
    whole: Matrix = []
    for row, seen in zip(rows, visible, strict=True):
        whole.append([Value(unseen) for _ in range(length)])
        for key, value in zip(seen, row, strict=True):
            whole[-1][key] = value
    return whole
