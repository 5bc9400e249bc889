"""Relative positions: a learned score for how far a key stands from a query (T5, Raffel et al. 2020, §2.1)."""

from __future__ import annotations

import numpy as np

from glassbox.engines.arrays.embedding import add_rows
from glassbox.engines.arrays.parameters import Array, Scope, Tokens
from glassbox.engines.relative import relative_bucket
from glassbox.spec import ModelSpec


class RelativePositions:
    """One table for all blocks: what each head adds to a score, for each kind of distance."""

    def __init__(self, spec: ModelSpec, parameters: Scope) -> None:
        self.spec = spec
        self.scores = parameters["scores"]
        self._rows: Tokens = np.empty(0, np.int64)  # of the table, for distances from -room + 1 to room - 1

    def forward(self, start: int, end: int) -> Array:
        """(heads, end - start, end): added to the scores of queries at start to end on keys at 0 to end."""
        if len(self._rows) < 2 * end - 1:
            room = min(self.spec.context, max(2 * end, 256))
            self._rows = np.array([relative_bucket(self.spec, distance) for distance in range(1 - room, room)])
        distance = np.arange(start, end)[:, None] - np.arange(end)
        self.rows = self._rows[distance + len(self._rows) // 2]  # the distance 0 stands in the middle
        return self.scores.value[self.rows].transpose(2, 0, 1)

    def backward(self, d_scores: Array) -> None:
        """A row gets the sum over all pairs at its distances: (heads, queries, keys), summed over batch and blocks."""
        add_rows(self.scores.gradient, self.rows.reshape(-1), d_scores.reshape(len(d_scores), -1).T)
