"""Prompts on their way into the batch: short ones are read together, a long one alone and chunk by chunk.

Between two chunks those who write go on, so that nobody's next token waits for the whole of a long prompt (chunked
prefill, Agrawal et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

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


class Reading:
    """Rows of ids that become keys and values.

    known: keys and values of the first tokens of a single row, (layers, 2, key_value_heads, tokens, head_width).
    """

    def __init__(
        self, model: Transformer, requests: Sequence[Request], rows: Sequence[Sequence[int]], known: Tensor | None
    ) -> None:
        self.requests = list(requests)
        self._model = model
        self._rows = rows
        self._longest = max(map(len, rows))
        self._known = known
        self._cache: Cache | None = None  # made for the first chunk, so that who waits for it takes no memory

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
        rows = [[0] * (self._longest - len(row)) + list(row) for row in self._rows]  # padded on the left
        tokens = torch.tensor([row[before:after] for row in rows], device=self._cache.store.device)
        self._model.hidden(tokens, cache=self._cache)
        return sum(after - max(before, min(after, self._longest - len(row))) for row in self._rows)

    def held(self, row: int) -> Tensor:
        """What a row has become: (layers, 2, key_value_heads, tokens, head_width)."""
        assert self._cache is not None, "nothing has been read"
        return self._cache.store[:, :, row, :, self._longest - len(self._rows[row]) :]

    def _new_cache(self) -> Cache:
        like = self._model.embedding.tokens
        hidden = [self._longest - len(row) for row in self._rows]
        padding = torch.tensor(hidden, device=like.device) if any(hidden) else None
        cache = Cache(self._model.spec, len(self._rows), self._longest, like=like, padding=padding)
        if self._known is not None:
            cache.length = self._known.shape[3]
            cache.store[:, :, 0, :, : cache.length] = self._known
        return cache
