"""One attempt at a run: the process that holds it, writes its events, and says how it ended."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox.errors import BadInput
from glassbox.workspace.artifact import Artifact
from glassbox.workspace.attempt_requests import Request, request_made
from glassbox.workspace.events import EVENTS_FILE, Event, EventKind, EventLog
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.manifest import ArtifactLink
from glassbox.workspace.run import CHECKPOINTS_FOLDER, HEARTBEAT_EVERY, HEARTBEAT_FILE, Problem, RunState
from glassbox.workspace.states import State
from glassbox.workspace.strict_json import with_words
from glassbox.workspace.transitions import begin_attempt, change_attempt

if TYPE_CHECKING:
    from glassbox.workspace.database import Database


class Attempt:
    """Holds a run from its creation until `end`. number: which attempt it must be.

    Raises BadInput if the run is held already, is final, or would have its attempt of another number.
    """

    def __init__(self, folder: Path, database: Database, number: int | None = None) -> None:
        self.folder = folder
        self._database = database
        status = begin_attempt(folder, database, number)
        self.number = status.attempt
        self._outputs = status.outputs
        try:
            with disk_faults_as_bad_input(folder):
                self.checkpoints.mkdir(exist_ok=True)
                (folder / HEARTBEAT_FILE).touch()
            self._events = EventLog(folder / EVENTS_FILE, self.number)
            self._events.append("state", sync=True, state="running")
        except Exception as error:
            self._change(state="failed", problem=Problem(problem=str(error)))
            raise
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()

    @property
    def checkpoints(self) -> Path:
        """The folder for what the next attempt needs."""
        return self.folder / CHECKPOINTS_FOLDER

    @property
    def outputs(self) -> Mapping[str, ArtifactLink]:
        """What the run has published so far, by slot, in earlier attempts too."""
        return self._outputs

    @property
    def request(self) -> Request | None:
        """What this attempt is asked to do; looks at the disk."""
        return request_made(self.folder, self.number)

    def record(self, kind: EventKind, **fields: Any) -> Event:
        """Append an event. Raises BadInput if the disk is full."""
        return self._events.append(kind, **fields)

    def published(self, slot: str, artifact: Artifact) -> Event:
        """Note that the run made this artifact."""
        self._outputs = self._change(outputs={**self._outputs, slot: artifact.link}).outputs
        return self._events.append("output", slot=slot, **artifact.link.model_dump(exclude={"kind"}), of=artifact.kind)

    def pause(self) -> Event:
        """running → paused"""
        self._change(state="paused")
        return self._events.append("state", sync=True, state="paused")

    def go_on(self) -> Event:
        """paused → running"""
        self._change(state="running")
        return self._events.append("state", sync=True, state="running")

    def end(self, state: State, *, result: Mapping[str, object] | None = None, problem: Problem | None = None) -> None:
        """Let go of the run as finished, failed, cancelled or interrupted.

        Once the state is written it stands, even if the disk has no room left for the last events. Raises BadInput if
        the state could not be written: the run is held on to, and `end` may be tried again.
        """
        self._change(state=state, result=None if result is None else with_words(result), problem=problem)
        self._over.set()
        self._heart.join()
        with contextlib.suppress(BadInput):
            if problem is not None:
                self._events.append("error", problem=problem.problem, remedy=problem.remedy)
            self._events.append("state", sync=True, state=state)
        self._events.close()

    def _change(self, *, state: State | None = None, **changes: Any) -> RunState:
        return change_attempt(self.folder, self._database, self.number, state=state, **changes)

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_EVERY):
            try:
                os.utime(self.folder / HEARTBEAT_FILE)
            except OSError:
                return  # the folder is gone or closed; the next event says so
