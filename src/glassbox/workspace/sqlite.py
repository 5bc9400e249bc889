"""SQLite as we use it: readers never wait (WAL), writers wait for one another, and foreign keys hold.

A transaction of an engine with the option `writing=True` takes the writers' lock when it begins, not at its first
change, so that what it reads before that change is still true then.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, event

PATIENCE = 30.0  # seconds to wait for another writer
_AGAIN_AFTER = 0.01  # seconds


def set_up(engine: Engine) -> None:
    """Let every connection of the engine, and every transaction, begin as said above."""
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own: `_begin` does
    cursor = connection.cursor()
    _use_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _use_write_ahead_log(cursor: sqlite3.Cursor) -> None:
    """Switch a database to it, once and for all. SQLite itself doesn't wait for others who do so at this moment."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_AFTER)
