"""The context of a stage that runs in a workspace: what it asks for comes from there, what it tells is kept there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path

from glassbox.stages.interface import Progress, Stage, Watcher
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Artifact, Draft, Run, Workspace
from glassbox.workspace.attempt import Attempt
from glassbox.workspace.events import Event

_ASKED_EVERY = 0.1  # seconds between two looks at what the run is asked to do
_WATCHED_EVERY = 0.1  # seconds between two looks of a watcher at the progress
_WRITTEN_EVERY = (0.25, 2.0)  # seconds between two progress events: at first, and once the run is long


class RunContext:
    """Implements `stages.interface.Context` for one attempt at a run."""

    def __init__(
        self,
        stage: Stage,
        workspace: Workspace,
        run: Run,
        attempt: Attempt,
        inputs: Mapping[str, Artifact],
        stop: StopRequest,
        watcher: Watcher | None,
        from_checkpoint: int | None = None,
        world_size: int = 1,
    ) -> None:
        self.name = run.record.name
        self.attempt = attempt.number
        self.inputs: Mapping[str, Artifact] = inputs
        self.checkpoints: Path = attempt.checkpoints
        self.from_checkpoint = from_checkpoint
        self.rank, self.world_size = 0, world_size
        self.paused_seconds = 0.0
        self.published: dict[str, Artifact] = {}
        self._stage = stage
        self._workspace = workspace
        self._run = run
        self._attempt = attempt
        self._stop = stop
        self._watcher = watcher
        self._throttle = _ProgressThrottle()
        self._asked = float("-inf")

    @property
    def stop_requested(self) -> bool:
        if not self._stop.made and time.monotonic() - self._asked >= _ASKED_EVERY:
            if self._attempt.request == "pause":
                self._pause()
            if self._attempt.request in ("stop", "cancel"):
                self._stop.made = True
            self._asked = time.monotonic()
        return self._stop.made

    def _pause(self) -> None:
        """Wait here until nobody wants the run paused any more, or somebody wants it stopped.

        Waiting between two units of work, rather than being halted by a signal (SIGSTOP), is what makes a pause
        harmless: no lock is held meanwhile that others need, the heart goes on beating, other processes of the run wait
        at the same step, and it works on machines that no signal of ours reaches.
        """
        began = time.monotonic()
        self._tell(self._attempt.pause())
        while self._attempt.request == "pause" and not self._stop.made:
            time.sleep(_ASKED_EVERY)
        self._tell(self._attempt.go_on())
        self.paused_seconds += time.monotonic() - began

    def input(self, slot: str) -> Artifact:
        if slot not in self.inputs:
            raise KeyError(f"the stage {self._stage.name} was given no {slot}")
        return self.inputs[slot]

    @contextlib.contextmanager
    def output(self, slot: str) -> Generator[Draft]:
        kind = self._stage.makes[slot].kind
        draft = self._workspace.artifacts.draft(kind, self.name, parents=self.inputs.values(), run=self._run.id)
        with draft:
            yield draft
        self.published[slot] = draft.artifact
        self._tell(self._attempt.published(slot, draft.artifact))

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None:
        self._show(self._throttle.passed(Progress(done, total, unit, note)))

    def close(self) -> None:
        """Tell how far the stage came, if that was held back."""
        self._show(self._throttle.held_back())

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._tell(self._attempt.record("metrics", step=step, values=dict(values)))

    def log(self, message: str) -> None:
        self._tell(self._attempt.record("log", message=message))

    def text(self, name: str, content: str) -> None:
        self._tell(self._attempt.record("text", name=name, content=content))

    def _tell(self, event: Event) -> None:
        if self._watcher is not None:
            self._watcher.on_event(event)

    def _show(self, due: tuple[Progress | None, Progress | None]) -> None:
        watched, written = due
        if written is not None:
            self._attempt.record("progress", **asdict(written))
        if watched is not None and self._watcher is not None:
            self._watcher.on_progress(watched)


class _ProgressThrottle:
    """Lets through what an eye can follow, and what a file should keep."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._watched = self._written = float("-inf")
        self._last: Progress | None = None

    def passed(self, progress: Progress) -> tuple[Progress | None, Progress | None]:
        """What to tell the watcher and what to write now, given the latest progress."""
        now = time.monotonic()
        shortest, longest = _WRITTEN_EVERY
        watch = now - self._watched >= _WATCHED_EVERY
        write = now - self._written >= min(longest, max(shortest, (now - self._start) / 100))
        if watch:
            self._watched = now
        if write:
            self._written = now
        self._last = None if watch and write else progress
        return progress if watch else None, progress if write else None

    def held_back(self) -> tuple[Progress | None, Progress | None]:
        """The last progress, if not everyone has it."""
        return self._last, self._last
