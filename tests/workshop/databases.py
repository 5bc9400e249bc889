"""Which databases the tests run on: GLASSBOX_TEST_DATABASE names one, `sqlite` or `postgresql`, for all of them.

Unless it is set, tests run on both, but those marked `one_database`, which run on SQLite.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

CHOSEN = os.environ.get("GLASSBOX_TEST_DATABASE")
DATABASES = ("sqlite", "postgresql") if CHOSEN is None else (CHOSEN,)
ONE_DATABASE = DATABASES[0]


class NewDatabase(Protocol):
    """Makes a database with all tables for the workshop in a folder; its address, or None if it is in that folder."""

    def __call__(self, folder: Path, kind: str = ONE_DATABASE) -> str | None: ...
