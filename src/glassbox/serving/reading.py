"""Prompts on their way into the batch: short ones are read together, a long one alone and chunk by chunk.

Between two chunks those who write go on, so that nobody's next token waits for the whole of a long prompt (chunked
prefill, Agrawal et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.transformer import Transformer
from glassbox.serving.requests import Request
from glassbox.spec import ModelSpec, count_parameters

CHUNK_FLOPS = 4e9  # about 10 ms of a laptop's processor
FEWEST, MOST = 64, 1024  # tokens of a chunk: so few take a large model about as long as a step, which reads all weights


def chunk_tokens(spec: ModelSpec) -> int:
    """How many tokens a model reads before the others write on: two operations a weight each."""
    return int(min(MOST, max(FEWEST, CHUNK_FLOPS / (2 * count_parameters(spec).total))))


class Unread(NamedTuple):
    """A request that has a row and isn't read yet.

    ids:   to be read.
    known: keys and values of the first of them, (layers, 2, key_value_heads, tokens, head_width).
    """

    request: Request
    ids: list[int]
    known: Tensor | None

    @property
    def missing(self) -> int:
        """How many of the ids nobody has read before."""
        return len(self.ids) - (0 if self.known is None else self.known.shape[3])


class Reading:
    """Requests whose ids become keys and values, side by side.

    reused: tokens that needn't be read. Of rows of which more is known than of others, some are read once more.
    """

    def __init__(self, model: Transformer, rows: Sequence[Unread]) -> None:
        self.requests = [row.request for row in rows]
        self._model = model
        self._rows = rows
        self._longest = max(len(row.ids) for row in rows)
        self._begin = self._longest - max(row.missing for row in rows)  # columns; rows are padded on the left
        self.reused = sum(max(0, self._begin - self._padding(row)) for row in range(len(rows)))
        self._cache: Cache | None = None  # made for the first chunk, so that who waits for it takes no memory

    @property
    def begun(self) -> bool:
        return self._cache is not None

    @property
    def done(self) -> bool:
        return self._cache is not None and self._cache.length == self._longest

    def read(self, most: int) -> int:
        """Read at most so many tokens of each row; returns how many were read of all of them."""
        if self._cache is None:
            self._cache = self._new_cache()
        before = self._cache.length
        after = min(before + most, self._longest)
        if before == after:  # all of it is known
            return 0
        rows = [[0] * self._padding(place) + row.ids for place, row in enumerate(self._rows)]
        tokens = torch.tensor([row[before:after] for row in rows], device=self._cache.store.device)
        self._model.hidden(tokens, cache=self._cache)
        return sum(after - max(before, min(after, self._padding(row))) for row in range(len(rows)))

    def held(self, row: int) -> Tensor:
        """What a row has become: (layers, 2, key_value_heads, tokens, head_width)."""
        assert self._cache is not None, "nothing has been read"
        return self._cache.store[:, :, row, :, self._padding(row) :]

    def _padding(self, row: int) -> int:
        return self._longest - len(self._rows[row].ids)

    def _new_cache(self) -> Cache:
        like = self._model.embedding.tokens
        hidden = [self._padding(row) for row in range(len(self._rows))]
        padding = torch.tensor(hidden, device=like.device) if any(hidden) else None
        cache = Cache(self._model.spec, len(self._rows), self._longest, like=like, padding=padding)
        cache.length = self._begin
        for row, (_, _, known) in enumerate(self._rows):
            if known is not None:
                cache.store[:, :, row, :, hidden[row] : hidden[row] + known.shape[3]] = known
        return cache
