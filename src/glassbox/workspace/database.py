"""The database of a workspace: SQLite in WAL mode, so that readers never wait and writers wait for one another."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from glassbox.errors import BadInput
from glassbox.workspace import sqlite
from glassbox.workspace.faults import full_disk, is_full_disk
from glassbox.workspace.tables import VERSION, Table


class Database:
    """`workspace.db`, made when it is first used. Raises BadInput if the file cannot serve."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def reading(self) -> Generator[Session]:
        """A session that sees one moment of the database."""
        with self._explained(), Session(self._engine) as session:
            yield session

    @contextlib.contextmanager
    def writing(self) -> Generator[Session]:
        """A session that no other writer, in any process, can come between; committed on leaving, else rolled back."""
        with self._explained(), Session(self._engine.execution_options(writing=True)) as session, session.begin():
            session.connection()  # takes the lock now, not at the first statement
            yield session

    @functools.cached_property
    def _engine(self) -> Engine:
        url = URL.create("sqlite", database=str(self.path))
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": sqlite.PATIENCE})
        sqlite.set_up(engine)
        with self._explained(), engine.execution_options(writing=True).begin() as connection:
            self._prepare_tables(connection)
        return engine

    def _prepare_tables(self, connection: Connection) -> None:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version > VERSION:
            raise BadInput(
                f"{self.path} was written by a newer Glassbox (tables of version {version} instead of {VERSION}).",
                "Upgrade with `pip install --upgrade glassbox-llm`, or choose another workspace with --workspace.",
            )
        if version < VERSION:
            Table.metadata.drop_all(connection)
            Table.metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except DatabaseError as error:
            if is_full_disk(error):
                raise full_disk(self.path.parent) from error
            reason = str(error.orig)
            if "locked" in reason:
                remedy = "Another process has held it for long; wait for it, or end it."
            elif isinstance(error, OperationalError):
                remedy = "Give yourself permission to read and write that file and its folder, or use --workspace."
            else:
                remedy = "Move that file away: it is an index, and will be made again from the folder."
            raise BadInput(f"{self.path} cannot be used: {reason}.", remedy) from error
