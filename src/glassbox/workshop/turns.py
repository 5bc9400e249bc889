"""Work that takes a core for seconds takes turns, so that a few such requests can't hold up all others."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

from glassbox.workshop.problems import Unavailable

PATIENCE = 20.0  # seconds that a request waits for its turn


class Turns:
    """So many at once; so many more may wait."""

    def __init__(self, *, at_once: int, waiting: int = 8) -> None:
        self._free = threading.Semaphore(at_once)
        self._places = threading.BoundedSemaphore(at_once + waiting)

    @contextlib.contextmanager
    def take(self, needed: bool = True) -> Generator[None]:
        """Wait for a turn. needed: False for what is so small that it can go ahead at once.

        Raises Unavailable if too many wait already, or if it takes too long.
        """
        if not needed:
            yield
            return
        if not self._places.acquire(blocking=False):
            raise Unavailable("Many such requests are being worked on.", "Try again in a few seconds.", seconds=5)
        try:
            if not self._free.acquire(timeout=PATIENCE):
                raise Unavailable("The requests before this one take long.", "Try again in a while.", seconds=10)
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._places.release()
