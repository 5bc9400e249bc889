"""Writing to where a person points: a new folder or file that is there whole, or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.faults import full_disk, is_full_disk


@contextlib.contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A folder beside `target` to write into, which becomes `target` when the block is left without an error.

    Raises BadInput where there is something already (but for an empty folder) and where the disk refuses.
    """
    beside = _beside(target)
    try:
        with _told(target):
            if target.exists() and not (target.is_dir() and not any(target.iterdir())):
                raise _taken(target)
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


@contextlib.contextmanager
def new_file(target: Path) -> Generator[Path]:
    """A path beside `target` to write a file at, which becomes `target` when the block is left without an error.

    Raises BadInput where there is something already and where the disk refuses.
    """
    beside = _beside(target)
    try:
        with _told(target):
            if target.exists():
                raise _taken(target)
            beside.parent.mkdir(parents=True, exist_ok=True)
            yield beside
            atomic.sync(beside)
            _name(beside, target)
            atomic.sync(target.parent)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _name(file: Path, target: Path) -> None:
    """Give a file its final name, which must be free: a rename would replace what another process has put there."""
    try:
        target.hardlink_to(file)
    except FileExistsError:
        raise _taken(target) from None
    except OSError:  # a disk without hard links
        if target.exists():
            raise _taken(target) from None
        file.rename(target)


@contextlib.contextmanager
def _told(target: Path) -> Generator[None]:
    """What the disk refuses, as BadInput."""
    try:
        yield
    except OSError as error:
        if is_full_disk(error):
            raise full_disk(target) from error
        place = error.filename or target
        raise BadInput(f"{place} can't be written: {error.strerror}.", "Name another place to write to.") from error


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def _taken(target: Path) -> BadInput:
    return BadInput(f"{target} is there already.", "Name another place, or move what is there away.")
