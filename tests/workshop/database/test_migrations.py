"""The migrations: they lead to the tables that the program has, and back, on every database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgresql_server import PostgresqlServer
from sqlalchemy import Engine, create_engine, inspect, text

from glassbox.errors import BadInput
from glassbox.workshop.database import Database
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.database.tables import Table
from glassbox.workshop.database.upgrade import MIGRATIONS, alembic_config, newest

NEW_USER = "INSERT INTO users (id, name, role, display_name, created) VALUES ('a', 'a', 'member', '', 0)"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.empty_database()


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    made = create_engine(empty_url.replace("postgresql://", "postgresql+psycopg://"))
    yield made
    made.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_an_empty_database_gets_the_tables_that_the_program_has(empty_url: str, engine: Engine):
    Database(empty_url).close()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    assert tables(engine) == set(Table.metadata.tables)


def test_each_step_up_can_be_gone_down_again(engine: Engine):
    steps = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert steps[-1] == newest()
    seen = []
    with engine.begin() as connection:
        for step in steps:
            command.upgrade(alembic_config(connection), step)
            seen.append(set(inspect(connection).get_table_names()))
        for before in reversed([{"alembic_version"}, *seen[:-1]]):
            command.downgrade(alembic_config(connection), "-1")
            assert set(inspect(connection).get_table_names()) == before
        command.upgrade(alembic_config(connection), "head")
        assert set(inspect(connection).get_table_names()) == seen[-1]


def test_several_servers_may_make_the_tables_at_once(empty_url: str, engine: Engine):
    faults: list[BaseException] = []

    def open_it() -> None:
        try:
            Database(empty_url).close()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert tables(engine) == set(Table.metadata.tables)


def test_a_database_of_a_newer_program_is_left_alone(empty_url: str, engine: Engine):
    Database(empty_url).close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadInput, match="newer Glassbox"):
        Database(empty_url)


def test_a_change_that_fails_half_way_changes_nothing(database: Database):
    with pytest.raises(RuntimeError), database.writing() as session:
        session.execute(text(NEW_USER))
        raise RuntimeError
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM users")).scalar_one() == 0


def test_writers_are_alone(database: Database):
    """Many who read, wait and write what they read plus one: none of them is lost."""
    with database.writing() as session:
        session.execute(text(NEW_USER))

    def count_up() -> None:
        for _ in range(5):
            with database.writing() as session:
                before = session.execute(text("SELECT created FROM users")).scalar_one()
                session.execute(text("UPDATE users SET created = :after"), {"after": before + 1})

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.execute(text("SELECT created FROM users")).scalar_one() == 20


def test_a_statement_that_is_wrong_is_a_fault_and_not_an_absence(database: Database):
    with pytest.raises(Exception, match="nowhere") as raised, database.reading() as session:
        session.execute(text("SELECT * FROM nowhere"))
    assert not isinstance(raised.value, DatabaseAway)


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/x", "postgresql://127.0.0.1:1/x"])
def test_an_address_that_cannot_serve_says_so(url: str):
    with pytest.raises((BadInput, DatabaseAway)) as raised:
        Database(url)
    assert "Traceback" not in str(raised.value)
