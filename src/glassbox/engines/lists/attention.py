"""Attention: every token gathers from the tokens that it may see, weighted by how well its query fits their keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, NamedTuple

from glassbox.engines.lists.cache import Cache, Heads
from glassbox.engines.lists.embedding import scattered
from glassbox.engines.lists.linear import added, dot, linear, linear_backward
from glassbox.engines.lists.normalization import Norm, NormSaved
from glassbox.engines.lists.parameters import Matrix, Parameters, Vector
from glassbox.engines.lists.positions import Turn, rotate, rotate_backward
from glassbox.engines.lists.relative_positions import RelativePositions
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec

if TYPE_CHECKING:
    from glassbox.engines.lists.source import Source


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
    source:  what the encoder has read, for cross-attention.
    """

    tokens: Sequence[int]
    start: int
    turns: list[Turn] | None
    slopes: Vector | None
    visible: list[list[int]]
    cache: Cache | None
    present: Sequence[int] | None = None
    relative: RelativePositions | None = None
    source: Source | None = None


def softmax(scores: Vector) -> Vector:
    """wᵢ = exp(sᵢ) / Σ exp(sⱼ); taking the largest score from all changes nothing but keeps exp from overflowing."""
    largest = max(scores)
    exponentials = [math.exp(score - largest) for score in scores]
    total = sum(exponentials)
    return [exponential / total for exponential in exponentials]


def softmax_backward(d_weights: Vector, weights: Vector) -> Vector:
    """dsᵢ = wᵢ (dwᵢ - Σ dwⱼ wⱼ): the Jacobian diag(w) - w wᵀ times dw"""
    along = dot(d_weights, weights)
    return [weight * (d - along) for d, weight in zip(d_weights, weights, strict=True)]


class Attention:
    """Multi-head attention (Vaswani 2017, §3.2), heads sharing keys and values in groups (Ainslie 2023) if asked."""

    class Saved(NamedTuple):
        """What backward needs of forward."""

        x: Matrix  # (length, width)
        query_norms: list[NormSaved]  # one a head
        key_norms: list[NormSaved]  # one a key/value head
        queries: Heads  # (heads, length, head_width)
        keys: Heads  # (key_value_heads, keys, head_width)
        values: Heads  # (key_value_heads, keys, head_width)
        weights: list[Matrix]  # (heads, length, keys that the query sees)
        joined: Matrix  # (length, heads * head_width)

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

    def forward(self, x: Matrix, around: Surroundings, keep: Keep) -> tuple[Matrix, Saved]:
        """y = join(softmax(scale · Q Kᵀ + bias) V) Oᵀ: (length, width) -> the same"""
        queries = self._split(linear(x, self.query, self.query_bias))  # (heads, length, head_width)
        keys = self._split(linear(x, self.key, self.key_bias))  # (key_value_heads, length, head_width)
        values = self._split(self._values(x, around))  # (key_value_heads, length, head_width)
        if self.query_norm is not None or around.turns is not None:
            keep("projected_queries", queries)
            keep("projected_keys", keys)
        queries, query_norms = turned(queries, around, self.query_norm)
        keys, key_norms = turned(keys, around, self.key_norm)
        keep("queries", queries)
        keep("keys", keys)
        keep("values", values)
        if around.cache is not None:
            keys, values = around.cache.extend(self.layer, keys, values)
        output, joined, weights = self._gather(queries, keys, values, around, keep)
        return output, self.Saved(x, query_norms, key_norms, queries, keys, values, weights, joined)

    def backward(self, d_output: Matrix, saved: Saved, around: Surroundings) -> Matrix:
        """The chain above, from its end."""
        d_queries, d_keys, d_values = self._gather_backward(d_output, saved, around)
        d_query = join(turned_backward(d_queries, saved.query_norms, around, self.query_norm))
        d_key = join(turned_backward(d_keys, saved.key_norms, around, self.key_norm))
        d_x = linear_backward(d_query, saved.x, self.query, self.query_bias)  # (length, width)
        d_x = added(d_x, linear_backward(d_key, saved.x, self.key, self.key_bias))
        return added(d_x, self._values_backward(join(d_values), saved.x, around))

    def _gather(
        self, queries: Heads, keys: Heads, values: Heads, around: Surroundings, keep: Keep
    ) -> tuple[Matrix, Matrix, list[Matrix]]:
        """From queries, keys and values to the output, (length, width).

        Returns with it what the output matrix read, (length, heads * head_width), and the weights.
        """
        shared = [head // self.sharing for head in range(self.heads)]  # the keys and values that a head reads
        heads = [self._mix(queries[h], keys[s], values[s], around, h) for h, s in enumerate(shared)]
        mixed, scores, weights = map(list, zip(*heads, strict=True))
        if keep.wants("scores"):
            keep("scores", [_whole(rows, around.visible, len(keys[0]), -math.inf) for rows in scores])
        if keep.wants("weights"):
            keep("weights", [_whole(rows, around.visible, len(keys[0]), 0.0) for rows in weights])
        keep("mixed", mixed)
        joined = join(mixed)  # (length, heads * head_width)
        output = linear(joined, self.output, self.output_bias)  # (length, width)
        keep("output", output)
        return output, joined, weights

    def _gather_backward(self, d_output: Matrix, saved: Saved, around: Surroundings) -> tuple[Heads, Heads, Heads]:
        """To queries, keys and values; a key that several heads share gets the sum of their gradients."""
        d_mixed = self._split(linear_backward(d_output, saved.joined, self.output, self.output_bias))
        d_queries: Heads = []
        d_keys = [[[0.0] * self.head_width for _ in keys] for keys in saved.keys]
        d_values = [[[0.0] * self.head_width for _ in keys] for keys in saved.keys]
        for head in range(self.heads):
            shared = head // self.sharing
            d_queries.append(
                self._mix_backward(d_mixed[head], saved, around, head, d_keys=d_keys[shared], d_values=d_values[shared])
            )
        return d_queries, d_keys, d_values

    def _mix(
        self, queries: Matrix, keys: Matrix, values: Matrix, around: Surroundings, head: int
    ) -> tuple[Matrix, Matrix, Matrix]:
        """One head: sᵢⱼ = scale · qᵢ·kⱼ - slope |i - j| + relative[i - j], w = softmax(s), yᵢ = Σⱼ wᵢⱼ vⱼ

        No score is computed for a key that the query may not look at. Returns y, (length, head_width), and s and w,
        a row for each query and in it a number for each key that it sees.
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
            mixed.append([dot(weights[-1], channel) for channel in channels])
        return mixed, scores, weights

    def _mix_backward(
        self, d_mixed: Matrix, saved: Saved, around: Surroundings, head: int, *, d_keys: Matrix, d_values: Matrix
    ) -> Matrix:
        """dwᵢⱼ = dyᵢ·vⱼ, dvⱼ += wᵢⱼ dyᵢ, ds = scale · softmax'(dw), dqᵢ = Σⱼ dsᵢⱼ kⱼ, dkⱼ += dsᵢⱼ qᵢ

        Adds to d_keys and d_values, (length, head_width) each; returns the gradient of the queries, of that shape too.
        """
        keys, values = saved.keys[head // self.sharing], saved.values[head // self.sharing]
        d_queries: Matrix = []
        every = zip(d_mixed, saved.queries[head], saved.weights[head], around.visible, strict=True)
        for position, (d_vector, query, weights, seen) in enumerate(every):
            d_weights = [dot(d_vector, values[key]) for key in seen]
            d_scores = softmax_backward(d_weights, weights)
            if around.relative is not None:
                for key, d_score in zip(seen, d_scores, strict=True):
                    around.relative.backward(d_score, position - key, head)
            d_scores = [d * self.scale for d in d_scores]
            d_queries.append([dot(d_scores, channel) for channel in zip(*[keys[key] for key in seen], strict=True)])
            for key, weight, d_score in zip(seen, weights, d_scores, strict=True):
                d_values[key] = [held + weight * d for held, d in zip(d_values[key], d_vector, strict=True)]
                d_keys[key] = [held + d_score * number for held, number in zip(d_keys[key], query, strict=True)]
        return d_queries

    def _values(self, x: Matrix, around: Surroundings) -> Matrix:
        """v = x Vᵀ, plus the token's value embedding: (length, width) -> (length, key_value_heads * head_width)"""
        values = linear(x, self.value, self.value_bias)
        if self.value_embedding is None:
            return values
        return added(values, [self.value_embedding.value[token] for token in around.tokens])

    def _values_backward(self, d_values: Matrix, x: Matrix, around: Surroundings) -> Matrix:
        """The embedding's row of a token gets the gradients of all places where the token stands."""
        if self.value_embedding is not None:
            rows = len(self.value_embedding.value)
            self.value_embedding.add_gradient(scattered(d_values, around.tokens, rows=rows))
        return linear_backward(d_values, x, self.value, self.value_bias)

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


def turned(heads: Heads, around: Surroundings, norm: HeadNorm | None) -> tuple[Heads, list[NormSaved]]:
    """Queries or keys, (their heads, length, head_width), normalised and rotated where the spec says so."""
    saved: list[NormSaved] = []
    if norm is not None:
        both = [norm.forward(vectors) for vectors in heads]
        heads, saved = [vectors for vectors, _ in both], [kept for _, kept in both]
    if around.turns is not None:
        heads = [rotate(vectors, around.turns) for vectors in heads]
    return heads, saved


def turned_backward(d_heads: Heads, saved: list[NormSaved], around: Surroundings, norm: HeadNorm | None) -> Heads:
    """Turned back, then back through the norm."""
    if around.turns is not None:
        d_heads = [rotate_backward(d_vectors, around.turns) for d_vectors in d_heads]
    if norm is not None:
        d_heads = [norm.backward(d_vectors, kept) for d_vectors, kept in zip(d_heads, saved, strict=True)]
    return d_heads


def join(heads: Heads) -> Matrix:
    """(heads, length, head_width) -> (length, heads * head_width)"""
    return [[number for vector in vectors for number in vector] for vectors in zip(*heads, strict=True)]


def _whole(rows: Matrix, visible: list[list[int]], length: int, unseen: float) -> Matrix:
    """What each query has for the keys that it sees, as a whole matrix: (queries, keys)."""
    whole: Matrix = []
    for row, seen in zip(rows, visible, strict=True):
        whole.append([unseen] * length)
        for key, number in zip(seen, row, strict=True):
            whole[-1][key] = number
    return whole
