"""Relative positions: a learned score for how far a key stands from a query (T5, Raffel et al. 2020, §2.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.relative import relative_bucket
from glassbox.spec import ModelSpec


class RelativePositions(nn.Module):
    """One table for all blocks: what each head adds to a score, for each kind of distance."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.scores = nn.Parameter(torch.empty(spec.relative_buckets, spec.heads))
        self._rows = torch.empty(0, dtype=torch.int64)  # of the table, for distances from -room + 1 to room - 1

    def forward(self, start: int, end: int) -> Tensor:
        """(heads, end - start, end): added to the scores of queries at start to end on keys at 0 to end."""
        rows = self._distances(end)
        middle = len(rows) // 2  # distance 0
        distance = torch.arange(start, end, device=rows.device)[:, None] - torch.arange(end, device=rows.device)
        return F.embedding(rows[distance + middle], self.scores).permute(2, 0, 1)

    def last(self, first: int, end: int) -> Tensor:
        """(heads, end - first): the same for one query at end - 1 on keys from first on."""
        rows = self._distances(end)
        middle = len(rows) // 2
        return self.scores[rows[middle : middle + end - first].flip(0)].t()

    def _distances(self, end: int) -> Tensor:
        """The row for each distance, at least from -end + 1 to end - 1, the distance 0 in the middle."""
        device = self.scores.device
        if len(self._rows) < 2 * end - 1 or self._rows.device != device:
            room = min(self.spec.context, max(2 * end, 512))
            rows = [relative_bucket(self.spec, distance) for distance in range(1 - room, room)]
            with torch.inference_mode(False):  # rows that decoding made serve training too
                self._rows = torch.tensor(rows, device=device)
        return self._rows
