"""Waiting for what becomes of attempts."""

from __future__ import annotations

import time
from collections.abc import Callable

from glassbox.workshop.jobs.launchers.interface import AttemptOrder, Handle, Launcher
from glassbox.workspace import Run, Workspace

Order = Callable[..., AttemptOrder]


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Until it holds; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def at_its_end(launcher: Launcher, handle: Handle, workspace: Workspace, seconds: float = 30.0) -> Run:
    """The run, once its processes are gone."""
    wait_until(lambda: launcher.look(handle).state == "gone", seconds)
    return workspace.runs.get(handle.order.run)
