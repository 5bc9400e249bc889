"""The bytes of uploads on the disk: what was acknowledged once is never lost, whatever is killed.

    uploads/<id>/.content   the bytes so far, perhaps with some behind them that nobody was told of
    uploads/<id>/.offset    how many count: written beside, synced and renamed, after the bytes themselves were synced
    uploads/<id>/<name>     the content, once it is whole; no name begins with a dot

Whoever receives holds a lock on the content, which ends with their process. Bytes behind the offset came before a kill,
or before a checksum that was wrong; the next one who receives cuts them off.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType

from glassbox.workshop.problems import Conflict
from glassbox.workshop.uploads.refusals import Locked
from glassbox.workspace import atomic

CONTENT, OFFSET = ".content", ".offset"
KEPT_EVERY = 16 * 2**20
"""Bytes after which those of a long request are kept, even if it never ends."""


class Received:
    """The folder of all uploads. Ids are ours: they never hold anything that a client wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, upload: str) -> None:
        """Begin one without bytes. Raises OSError."""
        place = self.folder / upload
        place.mkdir(parents=True)
        (place / CONTENT).touch()
        atomic.write_file(place / OFFSET, b"0")
        atomic.sync(self.folder)

    def offset(self, upload: str) -> int:
        """How many bytes count. 0 for one that was never begun or is gone."""
        try:
            return int((self.folder / upload / OFFSET).read_bytes())
        except FileNotFoundError:
            return 0

    def beginning(self, upload: str, size: int) -> bytes:
        """The first bytes of one that is whole."""
        with self._content(upload).open("rb") as file:
            return file.read(size)

    def finish(self, upload: str, name: str) -> None:
        """Give a whole one its name. Done twice, it is done once."""
        place = self.folder / upload
        if (place / CONTENT).exists():
            os.truncate(place / CONTENT, self.offset(upload))
            (place / CONTENT).rename(place / name)
            atomic.sync(place)

    def path(self, upload: str, name: str) -> Path:
        """Where a whole one lies."""
        return self.folder / upload / name

    def remove(self, upload: str) -> None:
        """Delete the bytes; nothing happens if they are gone."""
        shutil.rmtree(self.folder / upload, ignore_errors=True)

    def ids(self) -> list[str]:
        """Whatever lies here."""
        return [entry.name for entry in self.folder.iterdir()] if self.folder.is_dir() else []

    def age(self, upload: str) -> float:
        """Seconds since something changed in its folder; 0 for one that is gone."""
        try:
            return time.time() - (self.folder / upload).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def receive(self, upload: str, offset: int) -> Receiving:
        """Go on at an offset. Raises Conflict at another one, Locked while somebody else goes on with it."""
        return Receiving(self.folder / upload, offset)

    def _content(self, upload: str) -> Path:
        place = self.folder / upload
        if (place / CONTENT).exists():
            return place / CONTENT
        return next(path for path in place.iterdir() if not path.name.startswith("."))


class Receiving:
    """Takes bytes; only what was kept counts. Leave the block and the lock is gone."""

    def __init__(self, place: Path, offset: int) -> None:
        self._place = place
        self._descriptor = _locked(place / CONTENT)
        try:
            known = int((place / OFFSET).read_bytes())
            if offset != known:
                raise Conflict(
                    f"The upload goes on at byte {known:,}, not {offset:,}.", "Ask for its offset, go on there."
                )
            os.truncate(self._descriptor, known)
            os.lseek(self._descriptor, known, os.SEEK_SET)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.offset = known
        self.kept = known

    def write(self, data: bytes | bytearray) -> None:
        """Raises OSError where the disk takes no more; what was kept before stays."""
        atomic.write_all(self._descriptor, bytes(data))
        self.offset += len(data)

    def keep(self) -> None:
        """From now on all that was written counts. Raises OSError."""
        if self.kept != self.offset:
            os.fsync(self._descriptor)
            atomic.write_file(self._place / OFFSET, str(self.offset).encode())
            self.kept = self.offset

    def __enter__(self) -> Receiving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _locked(content: Path) -> int:
    """The content, opened by us alone. flock belongs to the open file, so it also keeps our own threads apart."""
    try:
        descriptor = os.open(content, os.O_RDWR)
    except FileNotFoundError:
        raise Conflict("The upload is whole, or was deleted meanwhile.", "Ask for its state.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Locked("Somebody sends bytes of this upload at the moment.", "Wait until they are done.") from error
    return descriptor
