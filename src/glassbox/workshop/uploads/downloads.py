"""What runs wrote to be fetched: a file, or a folder that goes out as one .zip while it is read.

It lies in downloads/<token>/<name> of the workspace, and is kept for a week: whoever wants it later runs it again.
"""

from __future__ import annotations

import io
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from glassbox.stages.interface import StageSettings
from glassbox.stages.local_paths import Access, Names

FOLDER = "downloads"
KEPT = 7 * 24 * 3600.0  # seconds
_PIECE = 2**20  # bytes


class _Written(Names):
    """Notes the paths that a stage was told to write to, while its settings are shown."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def reference(self, path: Path, access: Access) -> str:
        if access == "written":
            self.paths.append(path)
        return path.name


def written(settings: StageSettings, folder: Path) -> Path | None:
    """What these settings wrote into the folder of downloads; None if nothing is there."""
    noted = _Written()
    settings.model_dump(context=noted)
    return next((path for path in noted.paths if path.parent.parent == folder and path.exists()), None)


def sweep(folder: Path, now: float | None = None) -> None:
    """Delete what has been kept for long enough."""
    before = (time.time() if now is None else now) - KEPT
    for place in folder.iterdir() if folder.is_dir() else ():
        if place.stat().st_mtime < before:
            shutil.rmtree(place, ignore_errors=True)


def zipped(folder: Path) -> Iterator[bytes]:
    """The folder's files as a .zip, piece by piece; not compressed, since weights hardly can be."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            entry = zipfile.ZipInfo.from_file(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
            with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as member:
                for piece in _pieces_of(file):
                    member.write(piece)
                    yield pieces.taken()
    yield pieces.taken()


def _pieces_of(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


class _Pieces(io.RawIOBase):
    """Takes what `zipfile` writes and gives it on; it can't seek, so that `zipfile` doesn't try to."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  (RawIOBase says Buffer)
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        """What came since."""
        piece = bytes(self._held)
        self._held.clear()
        return piece
