"""Whatever people, servers and processes do in whatever order: nothing is lost, doubled, given away twice, or undone.

Leases last no time at all here, so that two servers quarrel about every job; and servers are killed between any two
steps.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import NewDatabase
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pretend_servers import GB, Servers
from pretending import PretendProcess

from glassbox.workshop.database import Database
from glassbox.workshop.jobs import attending, executor
from glassbox.workshop.jobs.executor import Executor
from glassbox.workshop.jobs.slots import Slots
from glassbox.workspace import Workspace

SLOTS = Slots(threads=3, memory=4 * GB, gpus=(0, 1))
STEPS = [  # a server can be killed before any of these
    (executor, "publish"),
    (attending, "publish"),
    *((attending.Attendant, name) for name in ("_attend_over", "_tell", "started", "_cancel", "_fail")),
    *((executor.Queue, name) for name in ("take", "change", "end", "requeue", "place_next", "add", "want")),
]


class ServerKilled(BaseException):
    """The server is gone in this very moment."""


class Killing(contextlib.AbstractContextManager["Killing"]):
    """Within the block a server dies before its so manieth step, if it takes as many."""

    def __init__(self, after: int | None) -> None:
        self._left = after
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Killing:
        for place, name in STEPS:
            self._patch.setattr(place, name, self._counted(getattr(place, name)))
        return self

    def _counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **words: Any) -> Any:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise ServerKilled
            return step(*arguments, **words)

        return counted

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


class QueueMachine(RuleBasedStateMachine):
    """Two servers, the runs that people ask for, and the processes that are started for them."""

    new_database: NewDatabase

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="queue-"))
        url = self.new_database(self.folder)
        self.database = Database.in_folder(self.folder) if url is None else Database(url)
        self.workspace = Workspace(self.folder)
        self.servers = Servers(self.workspace, self.database, SLOTS)
        self.working = [self._server(), self._server()]
        self.keys: dict[str, str] = {}
        self.over: dict[str, tuple[str, Any]] = {}

    def teardown(self) -> None:
        try:
            self._settle_everything()
        finally:
            for process in self.servers.launcher.alive:
                process.die()
            self.database.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _server(self) -> Executor:
        return self.servers.new(lease=0.0)

    def _do(self, which: int, killed_after: int | None, act: Callable[[Executor], object]) -> None:
        """Let a server do something; if it is killed meanwhile, another one takes its place."""
        try:
            with Killing(killed_after):
                act(self.working[which])
        except ServerKilled:
            self.working[which] = self._server()

    which = st.integers(0, 1)
    killed = st.none() | st.integers(0, 12)

    @initialize()
    def a_first_run(self) -> None:
        self.ask("a", 0, None, 1, 0, 0)

    @rule(
        key=st.sampled_from("abcd"), which=which, killed=killed, threads=st.integers(1, 3), gpus=st.integers(0, 2),
        priority=st.integers(-1, 1),
    )  # fmt: skip
    def ask(self, key: str, which: int, killed: int | None, threads: int, gpus: int, priority: int) -> None:
        job = self.servers.job(key, threads=threads, gpus=gpus, priority=priority, retries=2)

        def submit(server: Executor) -> None:
            run = server.submit(job).run
            assert self.keys.setdefault(key, run) == run

        self._do(which, killed, submit)

    @rule(which=which, killed=killed)
    def look(self, which: int, killed: int | None) -> None:
        self._do(which, killed, lambda server: (server.attend_all(), server.start_next()))

    @rule(which=which, killed=killed)
    def look_while_the_other_one_starts_something(self, which: int, killed: int | None) -> None:
        others = iter([self.working[1 - which]])

        def meanwhile(_order: object) -> None:
            for other in others:
                other.attend_all()
                other.start_next()

        self.servers.launcher.before_start = meanwhile
        self._do(which, killed, lambda server: (server.attend_all(), server.start_next()))
        self.servers.launcher.before_start = lambda _order: None

    @rule(
        key=st.sampled_from("abcd"), which=which, killed=killed,
        wanted=st.sampled_from(["pause", "run", "run", "cancel"]),
    )  # fmt: skip
    def want(self, key: str, which: int, killed: int | None, wanted: Any) -> None:
        if key in self.keys:
            self._do(which, killed, lambda server: server.want(self.keys[key], wanted))

    @precondition(lambda self: self.servers.launcher.alive)
    @rule(
        number=st.integers(0, 9),
        what=st.sampled_from(["begin", "begin", "listen", "listen", "save", "finish", "fail", "die", "vanish"]),
    )
    def a_process_gets_on(self, number: int, what: str) -> None:
        alive = self.servers.launcher.alive
        process = alive[number % len(alive)]
        if what == "die":
            process.die()
        elif process.attempt is None:
            if what == "vanish":
                process.is_alive, process.exit_code = False, 1
            else:
                process.begin()
        elif what not in ("begin", "vanish"):
            getattr(process, what)()

    @invariant()
    def no_run_is_held_twice(self) -> None:
        holding = [process.order.run for process in self.servers.launcher.alive if process.attempt]
        assert len(holding) == len(set(holding))

    @invariant()
    def every_attempt_is_begun_once_and_in_order(self) -> None:
        for entry in self.workspace.runs.list():
            events = list(self.workspace.runs.get(entry.id).events)
            assert [event.sequence for event in events] == list(range(len(events)))
            begun = [event.attempt for event in events if event.kind == "state" and event.fields["state"] == "running"]
            assert sorted(set(begun)) == list(range(1, len(set(begun)) + 1))
            assert begun == sorted(begun)

    @invariant()
    def what_is_at_work_fits_the_machine(self) -> None:
        jobs = self.working[0].queue.jobs()
        held = [
            process
            for process in self.servers.launcher.alive
            if process.attempt and not (jobs[process.order.run].parked and self._is_paused(process))
        ]
        assert sum(process.order.threads for process in held) <= SLOTS.threads
        gpus = [gpu for process in self.servers.launcher.alive if process.attempt for gpu in process.order.gpus or ()]
        assert len(gpus) == len(set(gpus))

    def _is_paused(self, process: PretendProcess) -> bool:
        return self.workspace.runs.get(process.order.run).state == "paused"

    @invariant()
    def what_is_over_stays_as_it_is(self) -> None:
        for entry in self.workspace.runs.list():
            run = self.workspace.runs.get(entry.id)
            if run.state in ("finished", "cancelled"):
                assert self.over.setdefault(run.id, (run.state, run.status)) == (run.state, run.status)
                assert self.working[0].check(run.id).state == run.state
            else:
                assert run.id not in self.over

    @invariant()
    def no_run_is_there_without_having_been_asked_for(self) -> None:
        assert len(self.workspace.runs.list()) <= len(self.working[0].queue.jobs()) <= 4

    def _settle_everything(self) -> None:
        """Nobody is killed any more, and everybody does what they are asked to: then every run comes to its end."""
        for key in list(self.keys):
            self.working[0].want(self.keys[key], "run")
        for _ in range(60):
            for server in self.working:
                server.attend_all()
                server.start_next()
            for process in self.servers.launcher.alive:
                if process.attempt is None:
                    process.begin()
                if process.attempt is not None:
                    process.listen()
                if process.attempt is not None:
                    process.finish()
            jobs = self.working[0].queue.jobs()
            for job in jobs.values():
                if job.wanted == "pause":
                    self.working[1].want(job.run, "run")
            if all(job.state == "ended" for job in jobs.values()):
                break
        else:
            raise AssertionError([(job.run, job.state, job.note) for job in jobs.values()])
        runs = {entry.id: self.workspace.runs.get(entry.id) for entry in self.workspace.runs.list()}
        assert set(self.keys.values()) <= set(runs) == set(jobs)
        for run in runs.values():
            assert run.state in ("finished", "cancelled", "failed", "interrupted")
            if run.state == "failed":
                assert run.status.attempt > 0
            if run.state == "cancelled":
                assert jobs[run.id].wanted == "cancel"
            if run.state == "interrupted":
                assert "killed" in (jobs[run.id].note or "")
        assert not self.servers.launcher.alive


@pytest.mark.slow
def test_the_queue_keeps_its_laws_whatever_happens(new_database: NewDatabase):
    QueueMachine.new_database = staticmethod(new_database)
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
