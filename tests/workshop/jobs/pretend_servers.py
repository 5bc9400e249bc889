"""Servers on one workspace and one database, whose runs a test holds in its hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pretending import PretendLauncher, PretendProcess, a_process

from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.executor import Executor
from glassbox.workshop.jobs.slots import Slots, Takes
from glassbox.workshop.jobs.submission import Asked, Schedule, new_job
from glassbox.workspace import Workspace

GB = 10**9


class Servers:
    """Executors on one workspace and one database, each of a server of its own, and jobs for them."""

    def __init__(self, workspace: Workspace, database: Database, slots: Slots) -> None:
        self.workspace, self.database, self.slots = workspace, database, slots
        self.launcher = PretendLauncher(workspace)
        self._numbers = itertools.count(1)
        users = Users(database)
        self.user = users.local().id

    def new(self, lease: float = 15.0) -> Executor:
        """A server that was just started; every one before it is dead, as its leases tell."""
        holder = a_process(next(self._numbers))
        return Executor(self.workspace, self.database, {"local": self.launcher}, self.slots, holder=holder, lease=lease)

    def job(self, key: str | None = None, body: dict[str, object] | None = None, **fields: Any) -> JobRow:
        """A job for a new run; threads, memory, gpus, priority and retries may be said."""
        record = self.workspace.runs.describe("rehearse", name="plays", settings={}, inputs={})
        takes = Takes(*(fields.pop(name, default) for name, default in (("threads", 1), ("memory", GB), ("gpus", 0))))
        schedule = Schedule.model_validate(fields)
        return new_job(record, takes, schedule, Asked(self.user, key, body or {}))


def look(server: Executor) -> None:
    server.attend_all()
    server.start_next()


def begun(servers: Servers, server: Executor, **fields: Any) -> tuple[str, PretendProcess]:
    """A run that is at work."""
    run = server.submit(servers.job(**fields)).run
    look(server)
    process = servers.launcher.process_of(run)
    process.begin()
    look(server)
    return run, process


def at_its_end(servers: Servers, server: Executor, run: str) -> str:
    """Let whatever is started begin and finish, until nothing is left to do."""
    for _ in range(20):
        look(server)
        for process in servers.launcher.alive:
            if process.attempt is None:
                process.begin()
            if process.attempt is not None:
                process.finish()
        if (now := server.check(run)).job is not None and now.job.state == "ended":
            return now.state
    pytest.fail(f"{run} is still {server.check(run)}")


class ServerKilled(BaseException):
    """The server is gone in this very moment."""


def kill_at(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> None:
    def killed(*_arguments: object, **_words: object) -> None:
        raise ServerKilled

    monkeypatch.setattr(place, name, killed)
