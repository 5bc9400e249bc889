"""A PostgreSQL of the tests' own: started once for each process of tests, with a template that has all tables."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from glassbox.workshop.database import Database

_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
_SUPERUSER = "glassbox"


class PostgresqlServer:
    """A running server that is reached through a socket in its folder."""

    def __init__(self, socket_folder: Path) -> None:
        self._folder = socket_folder
        self.run("CREATE DATABASE template_of_all")
        Database(self.url("template_of_all")).close()

    def new_database(self) -> str:
        """The address of a database of one's own, with all tables."""
        name = f"test_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template_of_all")
        return self.url(name)

    def empty_database(self) -> str:
        """The address of a database without tables."""
        name = f"empty_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://{_SUPERUSER}@/{name}?host={self._folder}"

    def run(self, statement: str) -> None:
        """As the superuser, outside of a transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)  # pyright: ignore[reportArgumentType]  (our own text)


def programs() -> Path | None:
    """Where PostgreSQL's programs are; Debian keeps the server's off the PATH."""
    found = [Path(path).parent for path in (shutil.which("initdb"),) if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if all((folder / one).exists() for one in ("initdb", "pg_ctl"))), None)


@contextmanager
def running_postgresql(folder: Path) -> Iterator[PostgresqlServer]:
    """A server in a new folder, stopped at the end. PostgreSQL refuses to run as root: then it runs as `postgres`."""
    place = programs()
    assert place is not None
    folder.mkdir(parents=True, exist_ok=True)
    prefix: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"

    def call(program: str, *words: str) -> None:
        done = subprocess.run(
            [*prefix, str(place / program), *words], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    call("initdb", "-D", str(data), "-U", _SUPERUSER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
    options = f"-k {folder} -c listen_addresses= {_FAST}"
    subprocess.run(  # its output goes to a file: a pipe would stay open as long as the server runs
        [*prefix, str(place / "pg_ctl"), "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    try:
        yield PostgresqlServer(folder)
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
