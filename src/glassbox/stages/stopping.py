"""Being asked to stop: Ctrl-C or SIGTERM once asks a stage to save and return, twice stops it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether someone asked."""

    def __init__(self, said: Callable[[], None] = lambda: None) -> None:
        """said: called at the first request, to tell the person that it was heard."""
        self.made = False
        self._said = said

    def make(self) -> None:
        """Ask; a second time raises KeyboardInterrupt."""
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        self._said()

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """Take Ctrl-C and SIGTERM as requests inside the block. Only the main thread can; elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.make()
