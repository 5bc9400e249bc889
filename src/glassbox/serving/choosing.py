"""Choosing for many requests at once, each by settings of its own.

A setting is a column, (rows, 1), with one number for each row, so that what differs between rows costs no more than
what they share. What only some rows ask for, and is dear (sorting a vocabulary), is computed for those alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from glassbox.generation import Decoding
from glassbox.generation.sampling import (
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_frequency,
    penalize_presence,
    penalize_repetition,
    uniform_numbers,
)
from glassbox.serving.requests import Request

DRAWN_AHEAD = 64  # steps whose uniform numbers are made at once


class Choosing:
    """Picks a token for each of these requests, step by step, until requests come or go.

    like: the logits that it will choose from are of its dtype and on its device.
    """

    def __init__(self, requests: Sequence[Request], vocabulary: int, *, like: Tensor) -> None:
        self._requests = list(requests)
        self._like = like
        settings = [request.decoding for request in requests]
        self._penalties = _Penalties(self._requests, vocabulary, like)
        greedy = [decoding.temperature == 0 for decoding in settings]
        self._all_greedy = all(greedy)
        self._greedy = torch.tensor(greedy, device=like.device) if any(greedy) else None  # (rows,)
        self._limits = [] if self._all_greedy else list(self._warpers(settings))
        self._uniform = torch.empty(0)  # (rows, DRAWN_AHEAD)
        self._drawn = DRAWN_AHEAD

    def choose(self, logits: Tensor) -> Tensor:
        """(rows,) ids from logits (rows, vocabulary), which stay as they are."""
        logits = self._penalties.applied(logits)
        if self._all_greedy:
            tokens = logits.argmax(-1)
        else:
            warped = logits
            for warp in self._limits:
                warped = warp(warped)
            tokens = draw(warped, self._next_uniform())
            if self._greedy is not None:
                tokens = torch.where(self._greedy, logits.argmax(-1), tokens)
        self._penalties.count(tokens)
        return tokens

    def _warpers(self, settings: list[Decoding]) -> list[Callable[[Tensor], Tensor]]:
        """Temperature, top-k, top-p and min-p, in the order of `sampling.warped`, as far as anybody asks for them."""
        warpers: list[Callable[[Tensor], Tensor]] = []
        temperatures = [decoding.temperature or 1.0 for decoding in settings]
        if any(temperature != 1 for temperature in temperatures):
            divisor = self._column(temperatures)
            warpers.append(lambda logits: (logits / divisor).to(logits.dtype))
        drawn = [row for row, decoding in enumerate(settings) if decoding.temperature]
        if rows := [row for row in drawn if settings[row].top_k]:
            counts = torch.tensor([[settings[row].top_k] for row in rows], device=self._like.device)
            warpers.append(self._of_rows(rows, lambda logits: keep_top_k(logits, counts)))
        if rows := [row for row in drawn if settings[row].top_p < 1]:
            shares = self._column([settings[row].top_p for row in rows])
            warpers.append(self._of_rows(rows, lambda logits: keep_top_p(logits, shares)))
        if rows := [row for row in drawn if settings[row].min_p > 0]:
            least = self._column([settings[row].min_p for row in rows])
            warpers.append(self._of_rows(rows, lambda logits: keep_min_p(logits, least)))
        return warpers

    def _of_rows(self, rows: list[int], warp: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return _of_rows(rows, len(self._requests), self._like.device, warp)

    def _column(self, numbers: list[float]) -> Tensor:
        return _columns([(number,) for number in numbers], self._like)[0]

    def _next_uniform(self) -> Tensor:
        """(rows,), of each row the number for its seed, its row among its siblings and its position."""
        if self._drawn == DRAWN_AHEAD:
            seeds = np.array([[request.decoding.seed] for request in self._requests], np.uint64)
            rows = np.array([[request.row] for request in self._requests], np.uint64)
            starts = np.array([[len(request.ids)] for request in self._requests], np.uint64)
            positions = starts + np.arange(DRAWN_AHEAD, dtype=np.uint64)  # (rows, DRAWN_AHEAD)
            self._uniform = torch.from_numpy(uniform_numbers(seeds, rows, positions)).to(self._like.device)
            self._drawn = 0
        self._drawn += 1
        return self._uniform[:, self._drawn - 1]


class _Penalties:
    """Which tokens stand in prompt and answer of the rows that any penalty is for, and what that does to logits."""

    def __init__(self, requests: list[Request], vocabulary: int, like: Tensor) -> None:
        rows = [row for row, request in enumerate(requests) if request.decoding.penalizes]
        self._rows = torch.tensor(rows, device=like.device) if rows else None
        if not rows:
            return
        settings = [requests[row].decoding for row in rows]
        columns = [(each.repetition_penalty, each.presence_penalty, each.frequency_penalty) for each in settings]
        self._columns = _columns(columns, like)
        self._seen = torch.zeros(len(rows), vocabulary, dtype=torch.bool, device=like.device)
        self._counts = torch.zeros_like(self._seen, dtype=torch.float32)
        for place, row in enumerate(rows):
            request = requests[row]
            self._seen[place, request.ids] = True
            written = torch.tensor(request.ids[request.prompt :], dtype=torch.int64, device=like.device)
            self._counts[place] = torch.bincount(written, minlength=vocabulary)
        self._applied = _of_rows(rows, len(requests), like.device, self._penalized)

    def applied(self, logits: Tensor) -> Tensor:
        """(rows of all, vocabulary) -> the same."""
        return logits if self._rows is None else self._applied(logits)

    def count(self, tokens: Tensor) -> None:
        """Remember what was chosen, (rows of all,)."""
        if self._rows is None:
            return
        chosen = tokens[self._rows][:, None]
        self._seen.scatter_(1, chosen, True)
        self._counts.scatter_add_(1, chosen, torch.ones_like(self._counts[:, :1]))

    def _penalized(self, logits: Tensor) -> Tensor:
        """A penalty of 1, or of 0, leaves the logits of its row as they are."""
        repetition, presence, frequency = self._columns
        logits = penalize_repetition(logits, self._seen, repetition)
        logits = penalize_presence(logits, self._counts, presence)
        return penalize_frequency(logits, self._counts, frequency)


def _columns(numbers: Sequence[tuple[float, ...]], like: Tensor) -> tuple[Tensor, ...]:
    """A row of numbers for each row of logits -> columns, (rows, 1) each, that no half precision has rounded."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.tensor(numbers, dtype=dtype, device=like.device).unsqueeze(-1).unbind(1)


def _of_rows(
    rows: list[int], of: int, device: torch.device, change: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """`change` for some of the rows; the others stay as they are."""
    if len(rows) == of:
        return lambda logits: change(logits).to(logits.dtype)
    chosen = torch.tensor(rows, device=device)
    return lambda logits: logits.index_copy(0, chosen, change(logits.index_select(0, chosen)).to(logits.dtype))
