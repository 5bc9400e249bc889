"""Keeps a file that a process prints into from filling the disk: only the end of what was printed stays.

The process writes to the file itself, with nothing in between, so that the last words of one that is killed are in it.
A thread looks now and then whether it has grown too long. What is printed in the moment in which the file is shortened
may be missing.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import TracebackType

LONGEST = 4 * 2**20  # bytes; then it is shortened to
KEPT = 2**20
EVERY = 1.0  # seconds


class OutputLimit:
    """Within the block, standard output and errors go to the end of `file`, and it stays short."""

    def __init__(self, file: Path, longest: int = LONGEST, kept: int = KEPT, every: float = EVERY) -> None:
        self._file, self._longest, self._kept, self._every = file, longest, kept, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="output limit", daemon=True)

    def __enter__(self) -> None:
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._before = [os.dup(1), os.dup(2)]
        for standard in (1, 2):
            os.dup2(self._descriptor, standard)
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for standard, before in zip((1, 2), self._before, strict=True):
            os.dup2(before, standard)
            os.close(before)
        os.close(self._descriptor)

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self._shorten()
        self._shorten()

    def _shorten(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size > self._longest:
            end = os.pread(self._descriptor, self._kept, size - self._kept)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, b"[...]\n" + end)
