"""Which code made a thing: the release, and a hash of the package's source as it lies there.

The release alone says little of a checkout in which someone is at work. The hash changes with every byte of every
module and needs no version control: two runs with the same code version were made by the same code.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import glassbox

_LENGTH = 12  # hexadecimal digits of the hash


@functools.cache
def code_version() -> str:
    """`0.1.0+3f9a1c2b7d4e`: the release, and the hash of the source as it was when this process first asked."""
    return f"{glassbox.__version__}+{source_hash(Path(glassbox.__file__).parent)}"


def source_hash(folder: Path) -> str:
    """Over the path and the content of every Python file below a folder, in the order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_LENGTH]
