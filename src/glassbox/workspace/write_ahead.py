"""SQLite's write-ahead log (WAL), with which readers never wait."""

from __future__ import annotations

import sqlite3
import time

_AGAIN_AFTER = 0.01  # seconds


def use_write_ahead_log(cursor: sqlite3.Cursor, patience: float) -> None:
    """Switch a database to it, once and for all. SQLite itself doesn't wait for others who do so at this moment.

    patience: seconds. Raises sqlite3.OperationalError when they are over.
    """
    until = time.monotonic() + patience
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_AFTER)
