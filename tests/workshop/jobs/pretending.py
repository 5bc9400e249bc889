"""A launcher without processes: what one would do, and be done to it, happens when a test says so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from glassbox.errors import BadInput
from glassbox.workshop.jobs.attempt_process import ExitCode
from glassbox.workshop.jobs.launchers.interface import AttemptOrder, Condition, Handle, Launcher
from glassbox.workspace import Workspace
from glassbox.workspace.atomic import write_file
from glassbox.workspace.attempt import Attempt
from glassbox.workspace.processes import Process
from glassbox.workspace.run import STATE_FILE, State
from glassbox.workspace.saved_steps import step_folder


def a_process(number: int) -> Process:
    """A server's process that is not there any more."""
    return Process(place=Process.current().place, pid=os.getpid(), started=float(number))


class PretendProcess:
    """What a launcher starts: it begins the attempt, works, obeys, and ends."""

    def __init__(self, workspace: Workspace, order: AttemptOrder) -> None:
        self.workspace, self.order = workspace, order
        self.attempt: Attempt | None = None
        self.is_alive = True
        self.exit_code: int | None = None

    def begin(self) -> None:
        """As the program does first of all; it ends if another process was faster, or the run is over."""
        runs = self.workspace.runs
        try:
            self.attempt = runs.begin(runs.get(self.order.run), self.order.attempt)
        except BadInput:
            self._go(ExitCode.NOT_BEGUN)

    def listen(self) -> None:
        """Look what is asked of it, between two units of work."""
        attempt = self.attempt
        assert attempt is not None
        state = self.workspace.runs.get(self.order.run).status.state
        if attempt.request == "cancel":
            if state == "paused":
                attempt.go_on()
            attempt.end("cancelled")
            self._go(ExitCode.CANCELLED)
        elif attempt.request == "pause" and state == "running":
            attempt.pause()
        elif attempt.request is None and state == "paused":
            attempt.go_on()

    def save(self) -> None:
        """A checkpoint, of one step more than the last one."""
        assert self.attempt is not None
        steps = [int(path.name[5:]) for path in self.attempt.checkpoints.iterdir()]
        step_folder(self.attempt.checkpoints, max(steps, default=0) + 1).mkdir()

    def finish(self) -> None:
        self._end("finished", ExitCode.FINISHED)

    def fail(self) -> None:
        self._end("failed", ExitCode.FAILED)

    def _end(self, state: State, code: ExitCode) -> None:
        assert self.attempt is not None
        if self.workspace.runs.get(self.order.run).status.state == "paused":
            self.attempt.go_on()
        self.attempt.end(state)
        self._go(code)

    def die(self) -> None:
        """As by SIGKILL: nothing more is written, and the run's holder isn't there any more."""
        self._go(-9)
        if self.attempt is not None:
            self.attempt._over.set()
            self.attempt._heart.join()
            self.attempt._events.close()
            self.attempt = None
            file = self.workspace.runs.folder / self.order.run / STATE_FILE
            state = json.loads(file.read_bytes())
            state["process"]["started"] = 1.0
            write_file(file, json.dumps(state).encode())

    def _go(self, code: int) -> None:
        self.is_alive, self.exit_code = False, code
        if code >= 0:
            self.attempt = None


class PretendLauncher(Launcher):
    """before_start: called while a server is about to start something."""

    name = "local"

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.processes: list[PretendProcess] = []
        self.before_start: Callable[[AttemptOrder], None] = lambda _order: None

    @property
    def alive(self) -> list[PretendProcess]:
        return [process for process in self.processes if process.is_alive]

    def process_of(self, run: str) -> PretendProcess:
        """The one that is alive for this run."""
        (process,) = [one for one in self.alive if one.order.run == run]
        return process

    def start(self, order: AttemptOrder) -> Handle:
        self.before_start(order)
        self.processes.append(PretendProcess(self.workspace, order))
        return Handle(launcher=self.name, order=order)

    def find(self, order: AttemptOrder) -> Handle | None:
        there = any(process.order.token == order.token for process in self.alive)
        return Handle(launcher=self.name, order=order) if there else None

    def look(self, handle: Handle) -> Condition:
        (process,) = [one for one in self.processes if one.order.token == handle.order.token]
        return Condition("alive") if process.is_alive else Condition("gone", process.exit_code)

    def kill(self, handle: Handle) -> None:
        for process in self.alive:
            if process.order.token == handle.order.token:
                process.die()
