"""What a launcher is: it starts one attempt at a run, and can say what became of it after the server was restarted too.

A run is never doubled, whenever the server dies: the caller keeps the order, with its token, before `start`; `find`
tells afterwards whether that start happened. And should an attempt be started twice all the same, the processes settle
it among themselves: `workspace.runs.begin` lets one process hold a run, under the number that the order says, and the
other one ends without having done anything.

Launchers differ in where a process is started. How it is spoken to is the same for all of them: requests are files in
the run's folder (`workspace/attempt_requests.py`), which every machine of a cluster sees as this one does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from glassbox.errors import BadInput
from glassbox.stages.registry import load_stage
from glassbox.workspace.attempt_requests import make_request, withdraw_request
from glassbox.workspace.run import Run


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttemptOrder(_Data):
    """One attempt that is to be started."""

    workspace: Path = Field(description="The workspace's folder.")
    run: str = Field(description="The run's id.")
    attempt: int = Field(ge=1, description="The number that this attempt must get, or nothing is done.")
    token: str = Field(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="Names this start, and no other one ever.")
    processes: int = Field(1, ge=1, le=4096, description="Processes that share the work.")
    threads: int = Field(1, ge=1, le=4096, description="CPU threads of each process.")
    gpus: tuple[int, ...] | None = Field(None, description="GPUs that it may see; None doesn't say, () is none.")
    from_checkpoint: int | None = Field(None, ge=0, description="The step to go on from; None takes the newest.")

    @property
    def run_folder(self) -> Path:
        """Where the run lies."""
        return self.workspace / "runs" / self.run

    @property
    def arguments(self) -> list[str]:
        """Those of `attempt_process`, the program that a launcher starts."""
        given = [self.run, "--workspace", str(self.workspace), "--attempt", str(self.attempt)]
        return given if self.from_checkpoint is None else [*given, "--from-checkpoint", str(self.from_checkpoint)]


class Handle(_Data):
    """What a launcher needs to find an attempt again that it started. Kept as JSON."""

    launcher: str
    order: AttemptOrder
    place: dict[str, JsonValue] = Field(default={}, description="The launcher's own affair.")


@dataclass(frozen=True)
class Condition:
    """How an attempt's processes are. How the *run* is stands in its folder.

    unknown: it can't be seen from here just now (another machine, a cluster that doesn't answer).
    exit_code: of one that is gone, where it is known (`attempt_process.ExitCode`; negative: killed by that signal).
    """

    state: Literal["alive", "gone", "unknown"]
    exit_code: int | None = None


class Launcher(ABC):
    """Starts attempts. One object may be used by several threads."""

    name: ClassVar[str]

    @abstractmethod
    def start(self, order: AttemptOrder) -> Handle:
        """Start it, and return at once. Raises BadInput if that can't be done; then nothing was started."""

    @abstractmethod
    def find(self, order: AttemptOrder) -> Handle | None:
        """The attempt that `start` was called for with this token, if it is alive."""

    @abstractmethod
    def look(self, handle: Handle) -> Condition:
        """How it is. Never raises for one that is gone."""

    @abstractmethod
    def kill(self, handle: Handle) -> None:
        """End all of its processes at once, and nobody else's; its run is then interrupted. Nothing if it is gone."""

    def ask_to_stop(self, handle: Handle) -> None:
        """Ask it to save and stop: the run ends interrupted, or finished if it was done. Raises BadInput (disk)."""
        make_request(handle.order.run_folder, handle.order.attempt, "stop")

    def ask_to_cancel(self, handle: Handle) -> None:
        """Ask it to give the run up: it ends cancelled, or finished if it was done. Raises BadInput (disk)."""
        make_request(handle.order.run_folder, handle.order.attempt, "cancel")

    def pause(self, handle: Handle) -> None:
        """Ask it to wait between two units of its work; once it does, the run is paused. Raises BadInput (disk)."""
        make_request(handle.order.run_folder, handle.order.attempt, "pause")

    def go_on(self, handle: Handle) -> None:
        """Let it go on. Raises BadInput (disk)."""
        withdraw_request(handle.order.run_folder, handle.order.attempt, "pause")

    def close(self) -> None:  # noqa: B027  (most keep up nothing)
        """The server ends: end what it keeps up for runs, unless one is at work in it."""


def refuse_several_processes(order: AttemptOrder) -> None:
    """Raises BadInput if the order is for more processes than its run's stage can share its work among."""
    if order.processes == 1:
        return
    stage = load_stage(Run.read(order.run_folder).record.stage)
    if not stage.parallel:
        raise BadInput(
            f"The stage {stage.name} is the work of one process, not of {order.processes}.",
            "Start it with one process.",
        )
