"""What a disk can refuse, said to a person."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glassbox.errors import BadInput


@contextmanager
def explained_disk_errors(path: Path) -> Iterator[None]:
    """Within the block, a disk that is full, read-only or closed to us raises BadInput that names `path`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise BadInput(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free some space on that disk, then run it again." if full else "Choose a folder that can be written.",
        ) from error
