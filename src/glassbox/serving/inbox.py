"""From the thread that writes to the loop that sends: the pieces of one request's answers.

A small model writes thousands of tokens a second, and to wake the loop for each would cost more than writing them. So
the loop is woken for what somebody waits for: the first text, the end, and in between all streams at once, now and
again. What comes meanwhile is taken along.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

from glassbox.generation import Piece
from glassbox.serving.requests import Failure

PAUSE = 1 / 30  # seconds between parts of a stream: as often as an eye can follow


class Inbox:
    """Pieces of several answers, each with the number of its answer; made in the loop that reads it.

    stream:      wake whoever reads for the first of what has come, else only when an answer has ended.
    first, last: when the first and the last piece came, by `time.monotonic`; None before.
    """

    def __init__(self, answers: int, *, stream: bool) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self._stream = stream
        self._answers = self._unfinished = answers  # unfinished: as far as it has been taken
        self._pieces: deque[tuple[int, Piece | Failure]] = deque()
        self._loop = asyncio.get_running_loop()
        self._something = asyncio.Event()
        self._awaited: Literal["nothing", "an end", "anything"] = "nothing"
        self._ended = 0  # answers whose end has come

    def deliver(self, number: int, piece: Piece | Failure) -> None:
        """Called by the thread that writes."""
        self.last = time.monotonic()
        if self.first is None:
            self.first = self.last
        self._pieces.append((number, piece))
        ends = isinstance(piece, Failure) or piece.finish is not None
        self._ended += ends
        if self._awaited == "anything" or (ends and self._awaited == "an end"):
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(self._something.set)

    async def batches(self) -> AsyncIterator[dict[int, list[Piece]]]:
        """Number of an answer -> what has come of it; again and again until all have ended. Raises `Failed`."""
        while self._unfinished:
            await self._arrival()
            batch: dict[int, list[Piece]] = {}
            while self._pieces:
                number, piece = self._pieces.popleft()
                batch.setdefault(number, []).append(self._taken(piece))
            if batch:
                yield batch
            if self._unfinished and self._stream:
                await self._pause()

    async def _arrival(self) -> None:
        self._awaited = "anything" if self._stream else "an end"  # from here on the thread that writes wakes us
        if not self._pieces:
            await self._something.wait()
        self._awaited = "nothing"
        self._something.clear()

    async def _pause(self) -> None:
        """Wait until all streams go on, at the same moment: one wake, not one each. An end doesn't wait."""
        self._awaited = "an end"
        timer = self._loop.call_later(PAUSE - self._loop.time() % PAUSE, self._something.set)
        if self._ended == self._answers - self._unfinished:
            await self._something.wait()
        timer.cancel()
        self._awaited = "nothing"
        self._something.clear()

    def _taken(self, piece: Piece | Failure) -> Piece:
        if isinstance(piece, Failure):
            raise Failed(piece)
        self._unfinished -= piece.finish is not None
        return piece


class Failed(Exception):  # noqa: N818  (it reads as what happened: "raise Failed")
    """The model failed while it wrote."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.problem)
        self.failure = failure
