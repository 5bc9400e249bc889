"""The workshop's database: SQLite in WAL mode, or PostgreSQL; the same promises from both.

`reading()` sees one moment. `writing()` is alone: no other writer, in any process, comes between its first look and its
commit (SQLite: BEGIN IMMEDIATE, PostgreSQL: one advisory lock for the transaction), so that "look, decide, write" needs
no further lock. Both are for short work: never wait for a network or a process inside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Executable, Row, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, TimeoutError
from sqlalchemy.orm import Session

from glassbox.errors import BadInput
from glassbox.workshop.database.upgrade import upgrade
from glassbox.workspace import sqlite
from glassbox.workspace.faults import full_disk, is_full_disk

FILE = "workshop.db"
_WRITERS_LOCK = 0x676C6173  # any number, the same in every process


class DatabaseAway(Exception):  # noqa: N818  (it says what happened)
    """The database doesn't answer at the moment. What was asked has not been done; asking again is right."""


class Database:
    """Opens the database and brings its tables up to date. Raises BadInput if the address is none that can serve."""

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.dialect = self.url.get_backend_name()
        self._engine = _engine(self.url)
        self._writing = self._engine.execution_options(writing=True)
        with self._explained():
            upgrade(self._engine)

    @classmethod
    def in_folder(cls, folder: Path) -> Database:
        """The SQLite file of a workspace."""
        return cls(URL.create("sqlite", database=str(folder / FILE)).render_as_string())

    @contextlib.contextmanager
    def reading(self) -> Generator[Session]:
        """A session that sees one moment of the database. Raises DatabaseAway."""
        with self._explained(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    def rows(self, question: Executable, **values: object) -> Sequence[Row[Any]]:
        """The answer to one statement. Half as long as with a session, for what every request asks.

        question: made once, with `bindparam` for each of the values. Raises DatabaseAway.
        """
        with self._explained(), self._engine.connect() as connection:
            return connection.execute(question, values).all()

    @contextlib.contextmanager
    def writing(self) -> Generator[Session]:
        """A session that no other writer comes between; committed on leaving, else rolled back. Raises DatabaseAway."""
        with self._explained(), Session(self._writing, expire_on_commit=False) as session, session.begin():
            session.connection()  # takes the lock now, not at the first statement
            yield session

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except DataError as error:  # PostgreSQL takes no NUL in a text, and looks at lengths
            raise BadInput(
                "The workshop's database cannot hold a value: it has a NUL character, or is too long or too large.",
                "Give another.",
            ) from error
        except TimeoutError as error:  # every connection is in use
            raise DatabaseAway("No connection became free in time.") from error
        except DBAPIError as error:
            if self.dialect == "sqlite" and is_full_disk(error):
                raise full_disk(Path(self.url.database or "").parent) from error
            if error.connection_invalidated or _is_away(error):
                raise DatabaseAway(f"{type(error.orig).__name__}: {error.orig}") from error
            raise


def _checked(given: str) -> URL:
    remedy = "Use one such as postgresql://user:password@localhost/glassbox, or leave it out for SQLite."
    try:
        url = make_url(given)
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise BadInput("The address of the database cannot be read.", remedy) from error
    if backend not in ("sqlite", "postgresql"):
        raise BadInput(f"The workshop keeps its records in SQLite or PostgreSQL, not in {backend}.", remedy)
    if backend == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        try:
            import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]  (only whether it is there)
        except ImportError as error:
            raise BadInput(
                "PostgreSQL needs the package psycopg, which isn't installed.",
                "Install it with: pip install 'glassbox-llm[postgresql]'.",
            ) from error
    return url


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20, pool_timeout=sqlite.PATIENCE)
        event.listen(engine, "begin", _begin_in_postgresql)
        return engine
    engine = create_engine(url, connect_args={"timeout": sqlite.PATIENCE}, pool_size=10, max_overflow=40)
    sqlite.set_up(engine)
    return engine


def _begin_in_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("writing", False):
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})"))


def _is_away(error: DBAPIError) -> bool:
    """No connection, or one that was cut; SQLite's file held for too long, or out of reach."""
    name, said = type(error.orig).__name__, str(error.orig)
    if "sqlite3" in type(error.orig).__module__:
        return any(words in said for words in ("locked", "unable to open", "disk I/O error"))
    return name in ("OperationalError", "AdminShutdown", "CrashShutdown", "CannotConnectNow", "InterfaceError")
