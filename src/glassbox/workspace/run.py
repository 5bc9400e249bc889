"""One run as it lies on the disk: `run.json` says what was asked and never changes, `state.json` how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from glassbox.errors import BadInput
from glassbox.workspace.events import EVENTS_FILE, Event, follow_events, last_event, read_events
from glassbox.workspace.manifest import ArtifactLink
from glassbox.workspace.processes import Process
from glassbox.workspace.states import HELD_BY_A_PROCESS, State

RECORD_FILE = "run.json"
STATE_FILE = "state.json"
HEARTBEAT_FILE = "heartbeat"
CHECKPOINTS_FOLDER = "checkpoints"
FORMAT = 1
HEARTBEAT_EVERY = 10.0  # seconds
_SILENT_AFTER = 6 * HEARTBEAT_EVERY
_TOLD_WITHIN = 2.0  # seconds between a state and the event that tells it; a full disk may refuse the event
_TOLD_POLL = 0.01

_Model = TypeVar("_Model", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Origin(_Record):
    """The run that another one was made from: anew with what it was given, or going on from one of its checkpoints."""

    run: str
    step: int | None = None


class RunRecord(_Record):
    """What was asked: one stage with its settings and inputs. `name` is what its outputs are called.

    code: the version of the code that was asked (`code_version`); None of runs from before it was kept.
    """

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    id: str
    stage: str
    name: str
    settings: dict[str, JsonValue]
    inputs: dict[str, ArtifactLink] = {}
    created: datetime
    code: str | None = None
    origin: Origin | None = None


class Problem(_Record):
    """Why a run failed. Without a remedy it is a fault of ours, and `traceback` names a file in the run's folder."""

    problem: str
    remedy: str | None = None
    traceback: str | None = None


class RunState(_Record):
    """How it goes. `attempt` is 0 until the run first starts."""

    state: State = "queued"
    attempt: int = Field(default=0, ge=0)
    process: Process | None = None
    started: datetime | None = None
    ended: datetime | None = None
    outputs: dict[str, ArtifactLink] = {}
    result: dict[str, JsonValue] | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Run:
    """A run as it was when it was read."""

    folder: Path
    record: RunRecord
    status: RunState

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises BadInput if a file is missing or damaged."""
        return cls(folder, _read(folder / RECORD_FILE, RunRecord), read_state(folder))

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def state(self) -> State:
        """The state in truth: a run whose process is gone is interrupted, whatever its file still says."""
        return true_state(self.folder, self.status)

    @property
    def seconds(self) -> float | None:
        """How long its last attempt took, or has taken so far; None if it never started."""
        started, ended = self.status.started, self.status.ended
        return None if started is None else ((ended or datetime.now(UTC)) - started).total_seconds()

    @property
    def checkpoints(self) -> Path:
        """The folder for what the next attempt needs."""
        return self.folder / CHECKPOINTS_FOLDER

    @property
    def events(self) -> Iterator[Event]:
        """Every event so far. Raises BadInput if the file is damaged."""
        return read_events(self.folder / EVENTS_FILE)

    def follow(self) -> Iterator[Event]:
        """Every event so far and each new one as it comes, until no process is at work on the run."""
        return follow_events(self.folder / EVENTS_FILE, self._is_at_rest())

    def _is_at_rest(self) -> Callable[[], bool]:
        return lambda: settled_state(self.folder) not in HELD_BY_A_PROCESS


def read_state(folder: Path) -> RunState:
    """Raises BadInput if the file is missing or damaged."""
    return _read(folder / STATE_FILE, RunState)


def true_state(folder: Path, status: RunState) -> State:
    """The state, but interrupted if it needs a process and that is gone."""
    if status.state not in HELD_BY_A_PROCESS or status.process is None:
        return status.state
    alive = status.process.is_alive()
    if alive is None:  # on another machine or in another container: all that we see is its heartbeat
        try:
            alive = time.time() - (folder / HEARTBEAT_FILE).stat().st_mtime < _SILENT_AFTER
        except FileNotFoundError:
            alive = False
    return status.state if alive else "interrupted"


def settled_state(folder: Path) -> State:
    """The state in truth, once everything that led to it is among the events.

    A run's end is written into its state first, so that it stands, and then told as an event: this waits a moment for
    that event, as long as the process that writes it is there. Raises BadInput if the state is missing or damaged.
    """
    status = read_state(folder)
    state = true_state(folder, status)
    until = time.monotonic() + _TOLD_WITHIN
    while state == status.state and state not in (*HELD_BY_A_PROCESS, "queued") and time.monotonic() < until:
        last = last_event(folder / EVENTS_FILE)
        if last is None or (last.kind == "state" and last.fields["state"] == state):
            break
        if status.process is None or status.process.is_alive() is False:
            break
        time.sleep(_TOLD_POLL)
    return state


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = f"{path} is damaged: {place + ': ' if place else ''}{first['msg']}."
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}."
    raise BadInput(problem, "Restore that file from a backup, or delete the run with `glassbox runs delete`.")
