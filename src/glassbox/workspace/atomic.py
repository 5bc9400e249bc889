"""Writing so that a reader, a crash or a full disk never meets half a file or half a folder.

Everything is written beside its place, synced to the disk, then renamed: a rename is the one step that either happens
or doesn't. The folder that holds the name is synced last, so that the rename itself survives a power cut.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, or leave what was there. Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)  # noqa: PTH105  (one family of calls for the whole dance)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """`os.write` may write less than asked; this writes everything or raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def rename_folder(source: Path, target: Path) -> None:
    """Give a folder its final name. Raises FileExistsError if the name is taken, else OSError."""
    try:
        os.rename(source, target)  # noqa: PTH104  (the bare call: what it refuses is told apart below)
    except OSError as error:
        if target.is_dir():  # ENOTEMPTY, EEXIST or EACCES, depending on the system
            raise FileExistsError(error.errno, "the name is taken", str(target)) from error
        raise
    sync(target.parent)
    sync(source.parent)


def sync(path: Path) -> None:
    """Force a file, or the list of names in a folder, onto the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder; it writes renames through by itself
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
