"""The events of a run: an append-only file with one JSON object a line.

Each line has a `sequence` (0, 1, 2, … without gap or repetition, also across attempts), a `time` (seconds since 1970),
the `attempt`, a `kind` and that kind's own fields. A line counts once its line feed is there: what a killed process
left without one was never seen by any reader, and the next writer removes it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from glassbox.errors import BadInput
from glassbox.workspace.atomic import write_all
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.strict_json import to_json

EVENTS_FILE = "events.jsonl"

EventKind = Literal["state", "progress", "metrics", "log", "text", "output", "error"]
"""Fields: state (state) · progress (done, total, unit, note) · metrics (step, values) · log (message) ·
text (name, content) · output (slot, of, reference, id) · error (problem, remedy)."""

_CHUNK = 64 * 1024
_POLL = 0.2  # seconds between two looks at a file that grows


@dataclass(frozen=True)
class Event:
    """One line of the file."""

    sequence: int
    time: float
    attempt: int
    kind: EventKind
    fields: Mapping[str, Any]

    def to_json(self) -> str:
        """One line of strict JSON."""
        head = {"sequence": self.sequence, "time": round(self.time, 3), "attempt": self.attempt, "kind": self.kind}
        return to_json(head | dict(self.fields))

    @classmethod
    def from_json(cls, line: bytes) -> Event:
        """Raises ValueError unless the line is an event."""
        fields = json.loads(line)
        if not isinstance(fields, dict):
            raise ValueError("not an object")
        fields = cast("dict[str, Any]", fields)
        try:
            head = (fields.pop("sequence"), fields.pop("time"), fields.pop("attempt"), fields.pop("kind"))
        except KeyError as error:
            raise ValueError(f"no {error}") from error
        if head[3] == "metrics":
            fields["values"] = {name: float(value) for name, value in fields["values"].items()}
        return cls(*head, fields)


class EventLog:
    """The writer. There is one at a time: the process that holds the run's current attempt."""

    def __init__(self, path: Path, attempt: int) -> None:
        """Opens the file, makes it if needed, and removes a line that was torn. Raises BadInput if the disk refuses."""
        self._path = path
        self._attempt = attempt
        self._lock = threading.Lock()
        with disk_faults_as_bad_input(path.parent):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            last, self._size = _last_whole_event(self._descriptor)
            os.ftruncate(self._descriptor, self._size)
        self._next = 0 if last is None else last.sequence + 1

    def append(self, kind: EventKind, *, sync: bool = False, **fields: Any) -> Event:
        """Write one event. sync: onto the disk before returning. Raises BadInput if the disk is full."""
        with self._lock, disk_faults_as_bad_input(self._path.parent):
            event = Event(self._next, time.time(), self._attempt, kind, fields)
            line = (event.to_json() + "\n").encode("utf-8", "backslashreplace")
            try:
                write_all(self._descriptor, line)
            except BaseException:
                os.ftruncate(self._descriptor, self._size)
                raise
            self._size += len(line)
            self._next += 1
            if sync:
                os.fsync(self._descriptor)
        return event

    def close(self) -> None:
        with self._lock:
            os.close(self._descriptor)


class EventReader:
    """Reads a file that may still grow; each `read` gives what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._line = 0

    def read(self) -> Iterator[Event]:
        """The whole lines that came since the last call. Raises BadInput for a line that isn't an event.

        Ends where the file ended when it was opened: a writer that is faster than the reader would never let it go.
        """
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return
        with stream:
            end = os.fstat(stream.fileno()).st_size
            stream.seek(self._offset)
            while self._offset < end and (line := stream.readline()).endswith(b"\n"):
                self._line += 1
                try:
                    event = Event.from_json(line)
                except ValueError as error:
                    raise BadInput(
                        f"Line {self._line} of {self._path} is damaged: {error}.",
                        "Restore the file from a backup, or remove that line.",
                    ) from error
                self._offset += len(line)
                yield event


def read_events(path: Path) -> Iterator[Event]:
    """Every event so far."""
    return EventReader(path).read()


def last_event(path: Path) -> Event | None:
    """The last whole one, found from the end of the file; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return _last_whole_event(descriptor)[0]
    finally:
        os.close(descriptor)


def follow_events(path: Path, at_rest: Callable[[], bool]) -> Iterator[Event]:
    """Every event so far and, until `at_rest()` is true, each new one as it comes."""
    reader = EventReader(path)
    while True:
        last_look = at_rest()  # asked before reading, so that nothing written before the rest is missed
        yield from reader.read()
        if last_look:
            return
        time.sleep(_POLL)


def _last_whole_event(descriptor: int) -> tuple[Event | None, int]:
    """The last line that is an event, and the size of the file up to its end."""
    end = os.fstat(descriptor).st_size
    tail = b""
    start = end
    while True:
        while b"\n" not in tail[:-1] and start > 0:  # the tail must hold one whole line with what comes before it
            step = min(_CHUNK, start)
            start -= step
            tail = os.pread(descriptor, step, start) + tail
        if not tail:
            return None, 0
        line = tail[tail.rfind(b"\n", 0, len(tail) - 1) + 1 :]
        if line.endswith(b"\n"):
            try:
                return Event.from_json(line), start + len(tail)
            except ValueError:
                pass  # a power cut can leave a line of zeros
        tail = tail[: len(tail) - len(line)]
