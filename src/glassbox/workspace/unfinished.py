"""Folders on their way in or out: drafts that aren't artifacts yet, artifacts that are being deleted.

They lie in `unfinished/`, beside `artifacts/` and on the same disk, so that one rename moves a whole folder. What a
killed process left there is removed by the next one that comes by.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from pathlib import Path

from pydantic import ValidationError

from glassbox.workspace.processes import Process

_OWNER_FILE = "owner.json"
_FILES = "files"
_ABANDONED_AFTER = 7 * 24 * 3600.0  # seconds; for owners that can't be seen from here


class UnfinishedFolders:
    """`unfinished/<token>/`: an owner's name, and `files/`, the folder that will be moved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> Path:
        """A new `unfinished/<token>/` that belongs to this process. Raises OSError."""
        place = self.folder / secrets.token_hex(8)
        place.mkdir(parents=True)
        (place / _OWNER_FILE).write_text(Process.current().model_dump_json())
        return place

    @staticmethod
    def files(place: Path) -> Path:
        """Where the content lies in a folder made by `create`."""
        return place / _FILES

    @staticmethod
    def remove(place: Path) -> None:
        """Remove it as far as the system lets us; the rest is swept later."""
        shutil.rmtree(place, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what processes that are gone left behind."""
        with contextlib.suppress(FileNotFoundError):
            for place in list(self.folder.iterdir()):
                if _is_abandoned(place):
                    self.remove(place)


def _is_abandoned(place: Path) -> bool:
    try:
        age = time.time() - place.stat().st_mtime
    except FileNotFoundError:
        return False
    try:
        alive = Process.model_validate_json((place / _OWNER_FILE).read_bytes()).is_alive()
    except (OSError, ValidationError):
        alive = None  # killed before the name was written, or just about to write it
    return alive is False or (alive is None and age > _ABANDONED_AFTER)
