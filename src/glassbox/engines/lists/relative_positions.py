"""Relative positions: a learned score for how far a key stands from a query (T5, Raffel et al. 2020, §2.1)."""

from __future__ import annotations

from glassbox.engines.lists.parameters import Parameters, zeros_like
from glassbox.engines.relative import relative_bucket
from glassbox.spec import ModelSpec


class RelativePositions:
    """One table for all blocks: what each head adds to a score, for each kind of distance."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.spec = spec
        self.scores = parameters["scores"]  # (relative_buckets, heads)

    def score(self, distance: int, head: int) -> float:
        """What is added where the key stands `distance` tokens before the query."""
        return self.scores.value[relative_bucket(self.spec, distance)][head]

    def backward(self, d_score: float, distance: int, head: int) -> None:
        """Add the gradient of one score."""
        if self.scores.gradient is None:
            self.scores.gradient = zeros_like(self.scores.value)
        self.scores.gradient[relative_bucket(self.spec, distance)][head] += d_score
