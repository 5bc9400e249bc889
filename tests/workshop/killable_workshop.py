"""A real workshop, all of whose processes can be killed, and what is left of them."""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import psutil
import psycopg
from waiting import until

from glassbox.workshop.gateway import tether
from glassbox.workshop.jobs.launchers.bearers import TOKEN_VARIABLE

Victim = Literal["server", "run", "model", "tether", "database"]
VICTIMS: tuple[Victim, ...] = ("server", "run", "model", "tether", "database")


class Server:
    """`glassbox workshop` as a process, that can be killed and started again at the same address.

    killed: when it was last, by the monotonic clock.
    """

    def __init__(self, workspace: Path, database_url: str | None, log: Path) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.workspace, self.database_url = workspace, database_url
        database = [] if database_url is None else ["--database", database_url]
        self._command = [sys.executable, "-m", "glassbox", "workshop", "--port", str(self.port), "--threads", "3"]
        self._command += ["--workspace", str(workspace), *database]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.killed = 0.0

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    @property
    def lives(self) -> bool:
        """Did nothing but us end it?"""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        assert self._process is not None
        assert self.lives, f"the server ended by itself: {self.said()}"
        self.killed = math.inf  # from now on, until it is gone
        self._process.kill()
        self._process.wait()
        self.killed = time.monotonic()

    def answers(self) -> bool:
        """Does it listen?"""
        with closing(socket.socket()) as trying:
            return trying.connect_ex(("127.0.0.1", self.port)) == 0

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def killable_workshop(workspace: Path, database_url: str | None) -> Iterator[Server]:
    """Killed at the end, with what is left of its runs; its models' processes must end by themselves."""
    server = Server(workspace, database_url, workspace.parent / "server.log")
    server.start()
    try:
        yield server
    finally:
        server.kill()
        for process in processes_of_runs(workspace):
            process.kill()
    until(
        lambda: not processes_of_models(workspace) + tethers(workspace), "the models' processes ended with the server"
    )


def processes_of_runs(workspace: Path) -> list[psutil.Process]:
    """The living processes that were started for runs of this workspace."""
    return _processes(workspace, lambda process: TOKEN_VARIABLE in process.environ())


def processes_of_models(workspace: Path) -> list[psutil.Process]:
    """The living processes that serve models of this workspace."""
    return _processes(workspace, lambda process: _serves_a_model(process) and not _is_tether(process))


def tethers(workspace: Path) -> list[psutil.Process]:
    """The living processes that stand between the server and those of models."""
    return _processes(workspace, lambda process: _serves_a_model(process) and _is_tether(process))


def _serves_a_model(process: psutil.Process) -> bool:
    return "serve-model" in process.cmdline()


def _is_tether(process: psutil.Process) -> bool:
    return tether.MODULE in process.cmdline()


def _processes(workspace: Path, wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if str(workspace) in process.cmdline() and wanted(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or somebody else's
    return found


def shuffled_victims(chance: random.Random, count: int) -> Iterator[Victim]:
    """So many, each as often as the others."""
    while count > 0:
        for victim in chance.sample(VICTIMS, min(count, len(VICTIMS))):
            count -= 1
            yield victim


def kill(victim: Victim, chance: random.Random, server: Server) -> Victim:
    """Kill it, or another one if it isn't there; which one it was."""
    if victim == "server":
        server.kill()
        time.sleep(chance.choice([0.0, 0.5]))
        server.start()
    elif victim == "database":
        _take_the_database_away(server, chance.uniform(0.2, 2.0))
    elif not kill_one_of(_FIND[victim](server.workspace), chance):
        return kill(chance.choice(VICTIMS), chance, server)
    return victim


def kill_one_of(processes: list[psutil.Process], chance: random.Random) -> bool:
    """Kill one of them, if there are any."""
    try:
        os.kill(chance.choice(processes).pid, signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


_FIND = {"run": processes_of_runs, "model": processes_of_models, "tether": tethers}


def _take_the_database_away(server: Server, seconds: float) -> None:
    """PostgreSQL ends all connections; another program locks SQLite's file."""
    if server.database_url is not None:
        with psycopg.connect(server.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return
    with closing(sqlite3.connect(server.workspace / "workshop.db", timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
