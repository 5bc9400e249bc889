"""When streams go on: all at the same moment, and the more seldom, the more of them there are.

Each part of a stream keeps two processes busy for a moment, and the model with them where they share its cores. A wake
of all streams together costs less than one of each, and a bound on all parts bounds what they cost.
"""

from __future__ import annotations

import asyncio

PARTS_A_SECOND = 24  # of one stream: as many as a film has pictures
PARTS_OF_ALL_A_SECOND = 200  # which sender and receiver spend about a twenty-fifth of a second on


def pause(streams: int) -> float:
    """Seconds between the parts of so many streams."""
    return max(1 / PARTS_A_SECOND, streams / PARTS_OF_ALL_A_SECOND)


class Pulse:
    """Wakes the streams of one loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._beating = False
        self._streams = 0  # that the last beat woke

    def wake(self, stream: asyncio.Event) -> None:
        """Set this event with the next beat."""
        self._waiting.add(stream)
        if not self._beating:
            self._beating = True
            asyncio.get_running_loop().call_later(pause(self._streams), self._beat)

    def forget(self, stream: asyncio.Event) -> None:
        self._waiting.discard(stream)

    def _beat(self) -> None:
        self._beating = False
        self._streams = len(self._waiting)
        for stream in self._waiting:
            stream.set()
        self._waiting.clear()
