"""A workshop for the tests: on SQLite and on PostgreSQL (`databases.py`), with one person of each role."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import DATABASES, ONE_DATABASE, NewDatabase
from fastapi import FastAPI
from fastapi.testclient import TestClient
from people import ADDRESS, People
from postgresql_server import PostgresqlServer, programs, running_postgresql
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from glassbox.workshop.access.guards import SESSION_COOKIE
from glassbox.workshop.accounts import passwords
from glassbox.workshop.app import create_app
from glassbox.workshop.database import Database
from glassbox.workshop.settings import WorkshopSettings
from glassbox.workshop.state import Workshop


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A running PostgreSQL; tests on it skip where none is installed."""
    if programs() is None:
        pytest.skip("PostgreSQL's server isn't installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    try:
        with running_postgresql(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables, to be copied: migrations take longer than most tests."""
    folder = tmp_path_factory.mktemp("sqlite")
    Database.in_folder(folder).close()
    return folder / "workshop.db"


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """By copying one that has all tables."""

    def make(folder: Path, kind: str = ONE_DATABASE) -> str | None:
        if kind == "postgresql":
            server: PostgresqlServer = request.getfixturevalue("postgresql")
            return server.new_database()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(request.getfixturevalue("sqlite_with_tables"), folder / "workshop.db")
        return None

    return make


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take a thousandth of what real ones take; one test looks at those."""
    cheap = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    monkeypatch.setattr(passwords, "_HASHER", cheap)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_database: what is tested doesn't depend on which database it is")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        is_enough = metafunc.definition.get_closest_marker("one_database") is not None
        metafunc.parametrize("database_url", [ONE_DATABASE] if is_enough else DATABASES, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, own_workspace: Path, new_database: NewDatabase) -> str | None:
    """The address of a new database with all tables: in SQLite (None: in the workspace) or in PostgreSQL."""
    return new_database(own_workspace, request.param)


@pytest.fixture
def database(database_url: str | None, own_workspace: Path) -> Iterator[Database]:
    """That database, opened."""
    opened = Database.in_folder(own_workspace) if database_url is None else Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def settings(database_url: str | None, own_workspace: Path) -> WorkshopSettings:
    """Of a workshop for one person."""
    return WorkshopSettings(workspace=own_workspace, database_url=database_url, threads=2)


@pytest.fixture
def app(settings: WorkshopSettings) -> Iterator[FastAPI]:
    """A workshop of one person; running, so that its queue is worked off."""
    made = create_app(settings)
    with TestClient(made, base_url=ADDRESS):
        yield made


@pytest.fixture
def people(app: FastAPI) -> People:
    """The people of the workshop, with a browser each."""
    return People(app)


@pytest.fixture
def client(app: FastAPI, people: People) -> TestClient:
    """The browser of the one person of a workshop on one's own machine, who may do everything."""
    workshop: Workshop = app.state.workshop
    browser = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)
    browser.cookies.set(SESSION_COOKIE, workshop.sessions.open(workshop.users.local().id, "a browser"))
    return browser
