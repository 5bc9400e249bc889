"""The keys and values of running requests, side by side in one store: rows join and leave while the others stay.

All rows write the same slot next, as `Step` wants it: a row that has read p tokens holds the p slots up to `end`, and
what lies before them is hidden from it. `end` is never below `length`, the most tokens that a row may hold now, so that
a row of any length can join at any time. Each step moves `end` on; where the store ends, all rows move back together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from glassbox.engines.tensors.cache import Cache
from glassbox.spec import ModelSpec

FIRST_LENGTH = 64  # tokens; doubled when a row needs more, so that memory follows need and not the longest context


class Slots:
    """Room for `rows` requests, numbered from 0 in the order in which they lie; of the dtype and device of `like`."""

    def __init__(self, spec: ModelSpec, rows: int, *, like: Tensor) -> None:
        self.spec = spec
        self.rows = rows
        self.length = min(FIRST_LENGTH, spec.context)
        self._like = like
        self._store = self._new_store(self.length)  # (layers, 2, rows, key_value_heads, slots, head_width)
        self._starts: list[int] = []  # of each row, its first slot
        self._end = self.length
        self._cache: Cache | None = None  # what the next step reads, until rows come, go or move

    def __len__(self) -> int:
        """Rows that have joined and not left."""
        return len(self._starts)

    def held(self, row: int) -> Tensor:
        """A view of what a row holds: (layers, 2, key_value_heads, tokens, head_width)."""
        self._settle()
        return self._store[:, :, row, :, self._starts[row] : self._end]

    def count(self, row: int) -> int:
        """Tokens that a row holds."""
        self._settle()
        return self._end - self._starts[row]

    @property
    def longest(self) -> int:
        """Tokens that the longest row holds; 0 without rows."""
        if self._cache is not None:
            return self._cache.length
        return self._end - min(self._starts, default=self._end)

    def join(self, held: Tensor) -> None:
        """Take a row in behind the others: (layers, 2, key_value_heads, tokens, head_width), of 0 tokens or more."""
        self._settle()
        count = held.shape[3]
        self._fit(count)
        row, start = len(self._starts), self._end - count
        seen = min(self._starts, default=self._end)  # from here on all rows are read, up to their starts hidden
        # Whoever had these slots before may have left what is no number, and hidden by a weight of 0 it would count.
        self._store[:, :, row, :, min(start, seen) : start] = 0
        self._store[:, :, :row, :, start:seen] = 0
        self._store[:, :, row, :, start : self._end] = held
        self._starts.append(start)

    def leave(self, row: int) -> None:
        """Let a row go; the last one takes its number and place."""
        self._settle()
        last, first = len(self._starts) - 1, min(self._starts)
        if row != last:
            self._store[:, :, row, :, first : self._end] = self._store[:, :, last, :, first : self._end]
            self._starts[row] = self._starts[last]
        self._starts.pop()
        if not self._starts:
            self._end = self.length

    def clear(self) -> None:
        """Let all rows go."""
        self._cache = None
        self._starts.clear()
        self._end = self.length

    def cache(self) -> Cache:
        """For a `Step` of all rows, with room for its token; none of them may hold a full context."""
        cache = self._cache
        if cache is not None and cache.length < cache.capacity and cache.length < self.length:
            return cache
        self._settle()
        first = min(self._starts)
        self._fit(self._end - first + 1)
        if self._end == self._store.shape[4]:
            self._move_back()
        first = min(self._starts)
        padding = None
        if any(start != first for start in self._starts):
            padding = torch.tensor([start - first for start in self._starts], device=self._like.device)
        store = self._store[:, :, : len(self._starts), :, first:]
        self._cache = Cache.over(store, self._end - first, padding)
        return self._cache

    def _settle(self) -> None:
        """Take over what steps have added."""
        if self._cache is not None:
            self._end = min(self._starts) + self._cache.length
            self._cache = None

    def _fit(self, count: int) -> None:
        """Let every row hold so many tokens, at most the context: the store doubles until they fit."""
        if count <= self.length:
            return
        length = self.length
        while length < count:
            length *= 2
        length = min(length, self.spec.context)
        store = self._new_store(length)
        rows, moved = len(self._starts), max(0, length - self._end)
        store[:, :, :rows, :, moved : self._end + moved] = self._store[:, :, :rows, :, : self._end]
        self._store, self.length = store, length
        self._starts = [start + moved for start in self._starts]
        self._end += moved

    def _move_back(self) -> None:
        """Move all rows to the front as far as `end` may go."""
        rows, first, back = len(self._starts), min(self._starts), self._end - self.length
        for layer in self._store:  # one after another, so that the copy in between is small
            layer[:, :rows, :, first - back : self._end - back] = layer[:, :rows, :, first : self._end].clone()
        self._starts = [start - back for start in self._starts]
        self._end = self.length

    def _new_store(self, length: int) -> Tensor:
        spec = self.spec
        slots = length + max(16, length // 4)  # the rest is how many steps go by between moves
        shape = (spec.layers, 2, self.rows, spec.key_value_heads, slots, spec.head_width)
        return torch.zeros(shape, dtype=self._like.dtype, device=self._like.device)
