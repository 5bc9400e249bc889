"""Servers on one workspace and one database, whose runs a test holds in its hand."""

from __future__ import annotations

import itertools

from pretending import PretendLauncher, a_process

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

    def job(self, key: str | None = None, body: dict[str, object] | None = None, **fields: object) -> JobRow:
        """A job for a new run; threads, memory, gpus, priority and retries may be said."""
        record = self.workspace.runs.describe("rehearse", name="plays", settings={}, inputs={})
        takes = Takes(*(fields.pop(name, default) for name, default in (("threads", 1), ("memory", GB), ("gpus", 0))))  # pyright: ignore[reportArgumentType]
        schedule = Schedule.model_validate(fields)
        return new_job(record, takes, schedule, Asked(self.user, key, body or {}))
