"""From the thread that writes to the loop that sends: when to look what has been written of one request's answers.

A small model writes thousands of tokens a second, and to wake the loop for each would cost more than writing them. So
the loop is woken for what somebody waits for: the first text, the end, and in between all streams at once, now and
again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from glassbox.serving.pulse import Pulse
from glassbox.serving.transcript import Part, Transcript


class Inbox:
    """Several answers that are being written, numbered from 0; made in the loop that reads them.

    pulse: hear, with each beat, of whatever has been written; None: of an answer only when it has ended.
    """

    def __init__(self, answers: Sequence[Transcript], pulse: Pulse | None) -> None:
        self._answers = answers
        self._pulse = pulse
        self._loop = asyncio.get_running_loop()
        self._something = asyncio.Event()
        for answer in answers:
            answer.request.on_end = self._wake

    async def batches(self) -> AsyncIterator[dict[int, Part]]:
        """Number of an answer -> what has come of it; again and again until all have ended. Raises `Failed`."""
        while True:
            await self._arrival()
            yield {number: answer.read() for number, answer in enumerate(self._answers) if self._is_due(answer)}
            if all(answer.whole for answer in self._answers):
                return
            if self._pulse is not None:
                await self._beat(self._pulse)

    def _is_due(self, answer: Transcript) -> bool:
        return answer.has_more and (self._pulse is not None or answer.request.ended)

    async def _arrival(self) -> None:
        """Wait until an answer is due."""
        self._await_tokens(None if self._pulse is None else self._wake)
        while not any(map(self._is_due, self._answers)):  # asked only now, so that nothing falls between
            await self._something.wait()
            self._something.clear()
        self._await_tokens(None)

    async def _beat(self, pulse: Pulse) -> None:
        """Wait until all streams go on. An end doesn't wait."""
        if not any(answer.request.ended and not answer.whole for answer in self._answers):
            pulse.wake(self._something)
            await self._something.wait()
            pulse.forget(self._something)
        self._something.clear()

    def _await_tokens(self, call: Callable[[], None] | None) -> None:
        for answer in self._answers:
            answer.request.on_token = call

    def _wake(self) -> None:
        """Called by the thread that writes."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self._loop.call_soon_threadsafe(self._something.set)
