"""What the disk can refuse, said in the words of a person: full, read-only, not a folder, no permission."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator
from pathlib import Path

from glassbox.errors import BadInput

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST}
_NO_PLACE = {errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL}


def is_full_disk(error: BaseException) -> bool:
    """Whether this is a full disk, also as told by libraries that keep only the system's sentence."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error).lower()
    return any(words in text for words in ("no space left on device", "disk quota exceeded", "disk is full"))


def full_disk(folder: Path) -> BadInput:
    """The error for a disk that took no more."""
    return BadInput(
        f"The disk that holds {folder} is full.",
        "Free some space (`glassbox artifacts list` shows sizes) and run it again; nothing half-written was kept.",
    )


@contextlib.contextmanager
def disk_faults_as_bad_input(folder: Path) -> Generator[None]:
    """Turn what a person can mend (a full disk, a folder that can't be written) into BadInput; let the rest through."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        if is_full_disk(error):
            raise full_disk(folder) from error
        if error.errno in _CLOSED:
            raise BadInput(
                f"{place} cannot be written: {error.strerror}.",
                "Give yourself write permission there, or choose another workspace with --workspace.",
            ) from error
        if error.errno in _NOT_A_FOLDER:
            raise BadInput(
                f"{place} is a file where a folder of the workspace should be.",
                "Move it away, or choose another workspace with --workspace.",
            ) from error
        raise


def make_folder(folder: Path) -> None:
    """Make a folder that a person named, with its parents. Raises BadInput where there can be none."""
    with disk_faults_as_bad_input(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
            raise BadInput(
                f"No folder can be made at {folder}: {error.strerror}.", "Choose another place with --workspace."
            ) from error
