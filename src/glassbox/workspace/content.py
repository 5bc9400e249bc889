"""The files of an artifact: what is in a folder, byte for byte."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from glassbox.workspace.manifest import MANIFEST_FILE, FileEntry


def read_files(folder: Path, *, sync: bool = False) -> dict[str, FileEntry]:
    """Every file below `folder` but the manifest, by its path with slashes, with size and SHA-256.

    sync: also force each file and folder onto the disk. Raises OSError, and ValueError for anything that isn't a plain
    file or folder (a link could change what the artifact holds after it was hashed).
    """
    files: dict[str, FileEntry] = {}
    for path in _walk(folder):
        relative = path.relative_to(folder).as_posix()
        if relative == MANIFEST_FILE:
            continue
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if sync:
                os.fsync(stream.fileno())
            files[relative] = FileEntry(bytes=os.fstat(stream.fileno()).st_size, sha256=digest)
    return files


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        else:
            raise ValueError(f"an artifact holds plain files and folders only, and {entry.path} is neither")


def difference(expected: dict[str, FileEntry], found: dict[str, FileEntry]) -> list[str]:
    """One sentence for each file that isn't as the manifest says; empty if all are."""
    sentences = [f"{path} is missing" for path in expected if path not in found]
    sentences += [f"{path} is not in the manifest" for path in found if path not in expected]
    for path in expected.keys() & found.keys():
        before, now = expected[path], found[path]
        if before.bytes != now.bytes:
            sentences.append(f"{path} has {now.bytes:,} bytes instead of {before.bytes:,}")
        elif before != now:
            sentences.append(f"{path} has other content than when it was published")
    return sorted(sentences)
