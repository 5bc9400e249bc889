"""Who is at work on something, and whether they still are.

A process id alone is not enough: ids are used again. An id together with the moment at which the process started is,
within one *place* (one machine, one container). What happens in another place cannot be seen from here.
"""

from __future__ import annotations

import functools
import os
import socket

from pydantic import BaseModel, ConfigDict

_SAME_MOMENT = (
    2.0  # seconds; the system's boot time, from which start times are derived, is itself corrected now and then
)


class Process(BaseModel):
    """One process: where it runs, its id, and when it started (seconds since 1970)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> Process:
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this id here now; one that is gone already is never taken for alive."""
        return cls(place=_place(), pid=pid, started=_started(pid) or 0.0)

    def is_alive(self) -> bool | None:
        """None where it cannot be known: the process belongs to another machine or container."""
        if self.place != _place():
            return None
        started = _started(self.pid)
        return started is not None and abs(started - self.started) < _SAME_MOMENT


@functools.cache
def _place() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (not a path: "pid:[4026531836]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()} {namespace}"


def _started(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
