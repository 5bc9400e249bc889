"""Whose turn it is to be read: a chunk at a time, short prompts together, long ones in turn."""

from __future__ import annotations

from collections import deque

from glassbox.engines.tensors.transformer import Transformer
from glassbox.serving.reading import Reading, Unread
from glassbox.serving.requests import Request


class ReadingQueue:
    """Requests that have a row and aren't read to their end. chunk: tokens that are read at a time.

    What a chunk can hold is read together with as many others as it holds besides; what is longer, alone. Where both
    wait, they take turns, so that neither waits for all of the other.
    """

    def __init__(self, model: Transformer, chunk: int) -> None:
        self._model = model
        self._chunk = chunk
        self._short: deque[Unread] = deque()
        self._readings: deque[Reading] = deque()  # of one long prompt each; those of short ones end with their chunk
        self._long_is_next = False

    @property
    def busy(self) -> int:
        """Requests in it. May be asked from any thread, and then counts one twice that goes over."""
        return len(self._short) + sum(len(reading.requests) for reading in list(self._readings))

    def add(self, row: Unread) -> None:
        if row.missing > self._chunk:
            self._readings.append(Reading(self._model, [row]))
        else:
            self._short.append(row)

    def turn(self) -> Reading | None:
        """The reading whose turn it is: to be given a chunk, and then to `move_on`."""
        if self._short and not (self._readings and self._long_is_next):
            group = self._group()
            self._readings.appendleft(Reading(self._model, group))
            for _ in group:
                self._short.popleft()
            self._long_is_next = True
        else:
            self._long_is_next = False
        return self._readings[0] if self._readings else None

    def move_on(self, *, done: bool) -> None:
        """Drop the reading whose turn it was, or let it wait for its next one."""
        if done:
            self._readings.popleft()
        else:
            self._readings.rotate(-1)

    def clear(self) -> list[Request]:
        """Drop everything: whom it was for."""
        dropped = [*(row.request for row in self._short), *(one for each in self._readings for one in each.requests)]
        self._short, self._readings = deque(), deque()
        return dropped

    def _group(self) -> list[Unread]:
        """The first of the short ones, as many as a chunk holds when they lie side by side."""
        group: list[Unread] = []
        longest = 0
        for row in self._short:
            longest = max(longest, row.missing)
            if group and longest * (len(group) + 1) > self._chunk:
                break
            group.append(row)
        return group
