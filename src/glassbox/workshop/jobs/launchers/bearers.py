"""Processes of this machine that are known by a token in their environment: found and killed, all and no others.

A process id can be another process's by now, and a group or session is left by whoever wants to; what a process finds
in its environment when it starts goes on to all that it starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

TOKEN_VARIABLE = "GLASSBOX_ATTEMPT"
"""The environment variable: of an attempt's processes, the token of the order that they were started by."""

_KILLING = 10.0  # seconds until the system must have ended what was killed


def bearers(token: str) -> Iterator[psutil.Process]:
    """The living ones."""
    import psutil

    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN_VARIABLE) == token and _lives(process):
                yield process
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or somebody else's


def kill_bearers(token: str) -> None:
    """Kill them, and what they start meanwhile, until all are gone."""
    import psutil

    deadline, killed = time.monotonic() + _KILLING, set[psutil.Process]()
    while time.monotonic() < deadline:
        killed |= set(bearers(token))
        killed = {process for process in killed if _lives(process)}  # one that is about to end has no environment
        if not killed:
            return
        for process in killed:
            try:
                process.kill()  # it looks at the start time first
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
