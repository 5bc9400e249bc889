"""What is asked of the process that holds a run: to pause, to save and stop, to give the run up.

Each request is an empty file in the run's folder, named for the attempt that it is meant for. So it can be made from
any process that sees the folder, before the attempt has begun and while nobody listens; it outlives whoever made it;
and what was asked of one attempt means nothing to the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input

Request = Literal["cancel", "stop", "pause"]
REQUESTS: tuple[Request, ...] = ("cancel", "stop", "pause")
"""The one that counts most first."""


def make_request(folder: Path, attempt: int, request: Request) -> None:
    """Ask the process that holds, or will hold, this attempt at the run in `folder`. Asking twice is asking once.

    Raises BadInput if the disk refuses.
    """
    with disk_faults_as_bad_input(folder):
        atomic.write_file(_file(folder, attempt, request), b"")


def withdraw_request(folder: Path, attempt: int, request: Request) -> None:
    """Ask no longer. Raises BadInput if the disk refuses."""
    with disk_faults_as_bad_input(folder):
        _file(folder, attempt, request).unlink(missing_ok=True)


def request_made(folder: Path, attempt: int) -> Request | None:
    """What is asked of this attempt; of several requests the one that counts most."""
    return next((request for request in REQUESTS if _file(folder, attempt, request).exists()), None)


def _file(folder: Path, attempt: int, request: Request) -> Path:
    return folder / f"{request}-{attempt}.request"
