"""A run's file of events by line: event number n is line n, so nothing needs to be parsed to be passed on.

One `EventLines` serves everyone who watches the run. It knows where every thousandth line begins, so that who was away
for an hour gets what they missed from where they left, however long the file is.

A line is passed on as it is, but for one thing: an error may name a file, and where the workspace lies is told nobody.
"""

from __future__ import annotations

import threading
from pathlib import Path

from glassbox.workspace.strict_json import to_json

_MARKED_EVERY = 1000  # lines
_READ_AT_ONCE = 1 << 20  # bytes


class EventLines:
    """The lines of a file that grows. `count` is how many whole lines there were at the last `refresh`."""

    def __init__(self, path: Path) -> None:
        """path: `runs/<run>/events.jsonl` in a workspace."""
        self._path = path
        self._workspace = to_json(str(path.parents[2])).strip('"').encode()
        self._refreshing = threading.Lock()
        self.count = 0
        self._end = 0  # where the last whole line ends
        self._marks = [0]  # where line 0, 1000, 2000, … begins

    def refresh(self) -> bool:
        """Look at what was added. Was there anything?"""
        with self._refreshing:  # whoever begins to watch looks at once: two looks must not count the same lines
            return self._refresh()

    def _refresh(self) -> bool:
        try:
            if self._path.stat().st_size <= self._end:
                return False
        except FileNotFoundError:
            return False
        before = self.count
        with self._path.open("rb") as stream:
            stream.seek(self._end)
            begun = b""  # of a line whose end is still to be read, or to be written
            while block := stream.read(_READ_AT_ONCE):
                begun += block
                whole, begun = begun[: begun.rfind(b"\n") + 1], begun[begun.rfind(b"\n") + 1 :]
                self._note(whole)
        return self.count > before

    def read(self, first: int, most: int, most_bytes: int = _READ_AT_ONCE) -> list[bytes]:
        """Lines from number `first` on, without their line feeds: at most `most`, and about `most_bytes`."""
        if first >= self.count:
            return []
        mark = first // _MARKED_EVERY
        with self._path.open("rb") as stream:
            stream.seek(self._marks[mark])
            for _ in range(first - mark * _MARKED_EVERY):
                stream.readline()
            lines: list[bytes] = []
            taken = 0
            while len(lines) < min(most, self.count - first) and taken < most_bytes:
                line = stream.readline()
                taken += len(line)
                lines.append(line[:-1].replace(self._workspace, b"the workspace"))
        return lines

    def _note(self, lines: bytes) -> None:
        count = lines.count(b"\n")
        next_mark = len(self._marks) * _MARKED_EVERY
        if self.count + count >= next_mark:
            place = -1
            for number in range(self.count + 1, self.count + count + 1):  # the number of the line that begins then
                place = lines.index(b"\n", place + 1)
                if number == next_mark:
                    self._marks.append(self._end + place + 1)
                    next_mark += _MARKED_EVERY
        self.count += count
        self._end += len(lines)
