"""A zip's own list of its files, looked at before `zipfile` reads it whole into memory.

The list is at the archive's end, behind it stands how long it is (PKWARE, APPNOTE 4.3.16; for large archives 4.3.14
and 4.3.15). An archive of some gigabytes may claim a hundred million files and needs to hold none of them.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import BinaryIO

from glassbox.errors import BadInput

LONGEST_DIRECTORY = 8 * 2**20
"""Bytes: about 100,000 files."""

_END = struct.Struct("<4s4H2LH")  # b"PK\5\6", disks, files here, files, directory's bytes, its offset, comment's bytes
_END_MARK, _LOCATOR_MARK, _LARGE_END_MARK = b"PK\5\6", b"PK\6\7", b"PK\6\6"
_LARGE_END = struct.Struct("<4sQ2H2L4Q")  # the same with more room; the ninth number is the directory's bytes
_LOCATOR_BYTES = 20
_LONGEST_COMMENT = 2**16


def check_directory(stream: BinaryIO, name: str) -> None:
    """Raises BadInput for an archive whose list of files is too long to be read, and for what is no archive."""
    size = stream.seek(0, os.SEEK_END)
    start = max(0, size - _END.size - _LONGEST_COMMENT - _LOCATOR_BYTES - _LARGE_END.size)
    stream.seek(start)
    tail = stream.read(size - start)
    stream.seek(0)
    at = tail.rfind(_END_MARK)
    if at < 0 or at + _END.size > len(tail):
        raise BadInput(f"{name} is a damaged archive: it has no end.", "Make or fetch it again.")
    longest = _directory_length(tail, at)
    if longest > LONGEST_DIRECTORY:
        raise BadInput(
            f"{name} lists its files in {longest:,} bytes; {LONGEST_DIRECTORY:,} are read, about 100,000 files.",
            "Put the texts into fewer files, for instance one JSON object a line.",
        )


def _directory_length(tail: bytes, end: int) -> int:
    """What the end says, or the second end that large archives have right before it, as `zipfile` looks for it."""
    locator = end - _LOCATOR_BYTES
    large_end = locator - _LARGE_END.size
    if large_end >= 0 and tail.startswith(_LOCATOR_MARK, locator) and tail.startswith(_LARGE_END_MARK, large_end):
        return int(_LARGE_END.unpack_from(tail, large_end)[8])
    return int(_END.unpack_from(tail, end)[5])


def checked_members(entries: Iterable[zipfile.ZipInfo], name: str) -> list[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """The files by their paths, in the order of these; folders and what macOS adds are left out.

    Raises BadInput for a path that leads out of the archive or is there twice, for links and devices, and for a file
    that needs a password.
    """
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for entry in sorted(entries, key=lambda entry: entry.filename):
        if not entry.filename:
            raise BadInput(f"{name} holds a file without a name.", "Make the archive again from files alone.")
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir() or path.parts[:1] == ("__MACOSX",):
            continue
        if path.is_absolute() or ".." in path.parts or entry.filename[1:2] == ":":
            raise BadInput(
                f"{name} holds a file named {entry.filename!r}, a path that leads out of the archive.",
                "Don't trust this archive; make it again from files that you know.",
            )
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            what = "a link" if kind == stat.S_IFLNK else "a device or a pipe"
            raise BadInput(f"{name}/{path} is {what}, not a file.", "Make the archive again from files alone.")
        if path in found:
            raise BadInput(
                f"{name} holds two files named {str(path)!r}; programs differ in which of them they see.",
                "Make the archive again from files that you know.",
            )
        if entry.flag_bits & 1:
            raise BadInput(f"{name}/{path} needs a password.", "Unpack it yourself, and collect the folder.")
        found[path] = entry
    return list(found.items())
