"""Files inside .gz and .zip, opened as streams that refuse to unpack for ever. Nothing is unpacked to disk by name."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, BinaryIO, NamedTuple

from glassbox.data.sources.zip_directory import check_directory, checked_members
from glassbox.errors import BadInput

LARGEST_EXPANSION = 200
"""An archive may unpack to this many times its own size: ten times what text compresses to, a fifth of a bomb."""

EXPANSION_FLOOR = 16 * 2**20
"""Bytes that an archive may always unpack to; small repetitive files compress well without meaning harm."""

ARCHIVES = {".gz", ".zip", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst"}
HELD_IN_MEMORY = 16 * 2**20

_DAMAGE = (
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that Python lacks
    UnicodeDecodeError,  # in a name; texts see to their own
    struct.error,
)


class Member(NamedTuple):
    """A file in an archive: its path there, and the bytes in it."""

    path: PurePosixPath
    stream: BinaryIO


class Allowance:
    """Counts down the bytes that an archive may still unpack to."""

    def __init__(self, archive_size: int, name: str) -> None:
        self.left = max(EXPANSION_FLOOR, LARGEST_EXPANSION * archive_size)
        self.name = name

    def take(self, size: int) -> None:
        """Raises BadInput when more was unpacked than allowed."""
        self.left -= size
        if self.left < 0:
            raise BadInput(
                f"{self.name} unpacks to more than {LARGEST_EXPANSION} times its size, as archives do that are made to "
                "fill a disk.",
                "Unpack it yourself if you trust it, and collect the folder.",
            )


class _Metered(io.RawIOBase):
    """A stream that takes what it reads from an allowance."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, allowance: Allowance) -> None:
        self._stream, self._allowance = stream, allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  (RawIOBase says Buffer)
        data = self._stream.read(len(buffer))
        self._allowance.take(len(data))
        buffer[: len(data)] = data
        return len(data)


def open_gzip(stream: BinaryIO, name: str, size: int) -> BinaryIO:
    """The unpacked bytes of a .gz of `size` bytes, as a stream."""
    unpacked = gzip.GzipFile(fileobj=stream, mode="rb")
    return io.BufferedReader(_Metered(unpacked, Allowance(size, name)))


def zip_members(stream: BinaryIO, name: str, size: int) -> Iterator[Member]:
    """The files in a .zip of `size` bytes, in the order of their names; folders and what macOS adds are left out.

    Raises BadInput for archives that are damaged, or made to do harm (zip_directory.py).
    """
    allowance = Allowance(size, name)
    with archive_errors(name):
        check_directory(stream, name)
        with zipfile.ZipFile(stream) as archive:
            if not archive.infolist():
                raise BadInput(f"{name} is an empty archive.", "Leave it out, or put files into it.")
            for path, entry in checked_members(archive.infolist(), name):
                with archive.open(entry) as member:
                    yield Member(path, io.BufferedReader(_Metered(member, allowance)))


@contextmanager
def seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The same bytes in a temporary file without a name, for formats that are read from their end."""
    with tempfile.SpooledTemporaryFile(HELD_IN_MEMORY) as file:
        while piece := stream.read(2**20):
            file.write(piece)
        file.seek(0)
        yield file  # pyright: ignore[reportReturnType]  (readable is all that is asked)


@contextmanager
def archive_errors(name: str) -> Iterator[None]:
    """Within the block, whatever an archive can have wrong raises BadInput with its name."""
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's; an archive's own are a seek to nowhere, and those of bz2 and gzip, without a number
        raise BadInput(f"{name} is a damaged archive: {error}.", "Make or fetch it again.") from error
