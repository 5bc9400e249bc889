"""Documents from local files and folders: plain text, JSON lines, CSV, TSV, Parquet, and .gz or .zip of those.

A folder is read in the order of its files' paths. Hidden files and links to folders in it are passed over; a file that
can't be read stops everything, or is passed over when that was asked for. What was passed over is in the report with
its reason, always.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

from glassbox.data.documents import Document
from glassbox.data.sources.archives import ARCHIVES, archive_errors, open_gzip, seekable, zip_members
from glassbox.data.sources.encodings import Encoding
from glassbox.data.sources.formats import ROW_READERS, Reading, read_first_row, read_texts
from glassbox.errors import BadInput


class Skipped(NamedTuple):
    """A file that was passed over, and why."""

    file: str
    reason: str


@dataclass
class FilesReport:
    """What became of the files; grows while they are read."""

    files: int = 0
    bytes_total: int = 0
    bytes_read: int = 0
    skipped: list[Skipped] = field(default_factory=list[Skipped])


def read_files(
    path: Path, reading: Reading, report: FilesReport, *, skip_unreadable: bool = False
) -> Iterator[Document]:
    """The documents of a file, or of all files in a folder and its folders.

    A document's source is the file's path, in a folder relative to it; in an archive, the path in it comes behind.
    Raises BadInput for a path that isn't there, for a folder without a readable file, and for a file that can't be
    read unless `skip_unreadable`.
    """
    folder = path if stat.S_ISDIR(_looked_at(path).st_mode) else path.parent
    files = [path] if folder != path else _files_below(folder, report, skip_unreadable)
    report.bytes_total = sum(file.stat().st_size for file in files if file.is_file())
    found = False
    for file in files:
        for document in _read_file(file, _shown(file.relative_to(folder)), reading, report, skip_unreadable):
            found = True
            yield document
    if not found:
        reasons = "".join(f"\n  {skipped.file}: {skipped.reason}" for skipped in report.skipped[:10])
        raise BadInput(
            f"{_shown(path)} holds no file that can be read as text.{reasons}", "Give a folder that holds text."
        )


def _files_below(folder: Path, report: FilesReport, skip_unreadable: bool) -> list[Path]:
    """The folder's files in the order of their paths. Links to folders aren't followed, so no loop can catch us."""

    def unreadable(error: OSError) -> None:
        name, reason = _shown(Path(error.filename)), error.strerror or str(error)
        if not skip_unreadable:
            raise BadInput(f"The folder {name} cannot be read: {reason}.", "Give yourself permission to read it.")
        report.skipped.append(Skipped(name, reason))

    found: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if name.startswith("."):
                report.skipped.append(Skipped(_shown(path.relative_to(folder)), "hidden"))
            elif name in folders and path.is_symlink():
                report.skipped.append(Skipped(_shown(path.relative_to(folder)), "a link to a folder"))
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted(found)


def _read_file(
    path: Path, name: str, reading: Reading, report: FilesReport, skip_unreadable: bool
) -> Iterator[Document]:
    count = 0
    before = report.bytes_read
    try:
        size = _file_size(path)
        with _opened(path) as stream:
            for document in _documents(stream, name, size, reading):
                count += 1
                report.bytes_read = before + min(size, stream.tell())
                yield document
        report.bytes_read = before + size
        report.files += 1
    except BadInput as error:
        if not skip_unreadable:
            raise
        kept = f" What came before ({count:,} documents) was kept, the rest left out." if count else ""
        report.skipped.append(Skipped(name, error.problem + kept))


def _documents(stream: BinaryIO, name: str, size: int, reading: Reading) -> Iterator[Document]:
    for part in _parts(stream, name, size):
        yield from _texts(part, reading)


def first_row(path: Path, encoding: Encoding) -> dict[str, object] | None:
    """The first row of the first file (in an archive too) whose format has rows, else None. Raises BadInput."""
    name = _shown(Path(path.name))
    with _opened(path) as stream:
        for part in _parts(stream, name, _file_size(path)):
            if part.suffix in ROW_READERS:
                with _readable(part) as rows:
                    return read_first_row(rows, part.name, part.suffix, encoding)
    return None


class _Part(NamedTuple):
    """A file that isn't an archive any more, with its name for messages and the suffix that tells its format."""

    stream: BinaryIO
    name: str
    suffix: str


def _parts(stream: BinaryIO, name: str, size: int) -> Iterator[_Part]:
    """The files in an archive, or the file itself if it is none."""
    suffix = PurePath(name).suffix.lower()
    if suffix == ".zip":
        for member in zip_members(stream, name, size):
            yield _Part(member.stream, f"{name}/{member.path}", member.path.suffix.lower())
    elif suffix == ".gz":
        yield _Part(open_gzip(stream, name, size), name, PurePath(name).with_suffix("").suffix.lower())
    else:
        yield _Part(stream, name, suffix)


def _texts(part: _Part, reading: Reading) -> Iterator[Document]:
    with _readable(part) as stream:
        for text in read_texts(stream, part.name, part.suffix, reading):
            yield Document(text, part.name)


@contextmanager
def _readable(part: _Part) -> Iterator[BinaryIO]:
    if part.suffix in ARCHIVES:
        raise BadInput(
            f"{part.name} is an archive of a kind, or at a depth, that isn't read here.",
            "Unpack it, and collect the folder.",
        )
    with archive_errors(part.name), ExitStack() as stack:
        if part.suffix == ".parquet" and not part.stream.seekable():
            yield stack.enter_context(seekable(part.stream))
        else:
            yield part.stream


def _looked_at(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        leads_nowhere = isinstance(error, FileNotFoundError) and path.is_symlink()
        reason = "the link leads nowhere" if leads_nowhere else getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"{_shown(path)} cannot be read: {reason}.", "Give the path of a file or folder that holds text."
        ) from error


def _file_size(path: Path) -> int:
    """Raises BadInput unless the path is a file; a pipe or a device would make us wait for ever."""
    found = _looked_at(path)
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"{_shown(path)} is a device or a pipe, not a file.", "Give the path of a file that holds text.")
    return found.st_size


def _shown(path: Path) -> str:
    """The path as text, also if its bytes on disk aren't."""
    return os.fsencode(path.as_posix()).decode(errors="replace")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadInput(
            f"{_shown(path)} cannot be opened: {error.strerror}.", "Give yourself permission to read it."
        ) from error
