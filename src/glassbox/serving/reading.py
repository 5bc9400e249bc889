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
FEWEST, MOST = 32, 1024  # tokens of a chunk: below, a product doesn't use the processor well


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
        self._lengths = [len(row) for row in rows]
        longest, like = max(self._lengths), model.embedding.tokens
        ids = [[0] * (longest - len(row)) + list(row) for row in rows]
        self._tokens = torch.tensor(ids, device=like.device)  # (rows, longest)
        padding = None
        if min(self._lengths) < longest:
            padding = torch.tensor([longest - length for length in self._lengths], device=like.device)
        self._cache = Cache(model.spec, len(rows), longest, like=like, padding=padding)
        if known is not None:
            self._cache.length = known.shape[3]
            self._cache.store[:, :, 0, :, : known.shape[3]] = known

    @property
    def done(self) -> bool:
        return self._cache.length == self._cache.capacity

    def read(self, most: int) -> int:
        """Read at most so many tokens of each row; returns how many were read of all of them."""
        before = self._cache.length
        self._model.hidden(self._tokens[:, before : before + most], cache=self._cache)
        after = self._cache.length
        padding = (self._cache.capacity - length for length in self._lengths)
        return sum(after - max(before, min(after, first)) for first in padding)

    def held(self, row: int) -> Tensor:
        """What a row has become: (layers, 2, key_value_heads, tokens, head_width)."""
        return self._cache.store[:, :, row, :, self._cache.capacity - self._lengths[row] :]
