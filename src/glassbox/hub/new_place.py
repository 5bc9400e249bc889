"""Writing to where a person points: a new folder or file that is there whole, or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A folder beside `target` to write into, which becomes `target` when the block is left without an error.

    Raises BadInput where there is something already (but for an empty folder) and where the disk refuses.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise _taken(target)
    beside = _beside(target)
    try:
        with disk_faults_as_bad_input(target):
            beside.mkdir(parents=True)
            yield beside
            for path in beside.rglob("*"):
                atomic.sync(path)
            try:
                atomic.rename_folder(beside, target)
            except FileExistsError:
                raise _taken(target) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Generator[Path]:
    """A path beside `target` to write a file at, which becomes `target` when the block is left without an error.

    Raises BadInput where there is something already and where the disk refuses.
    """
    if target.exists():
        raise _taken(target)
    beside = _beside(target)
    try:
        with disk_faults_as_bad_input(target):
            beside.parent.mkdir(parents=True, exist_ok=True)
            yield beside
            atomic.sync(beside)
            try:
                target.hardlink_to(beside)  # a rename would replace what another process has put there meanwhile
            except FileExistsError:
                raise _taken(target) from None
            atomic.sync(target.parent)
    finally:
        beside.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def _taken(target: Path) -> BadInput:
    return BadInput(f"{target} is there already.", "Name another place, or move what is there away.")
