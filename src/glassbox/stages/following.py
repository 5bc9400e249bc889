"""The context of a process that shares the work of a run that another process holds: what it tells, nobody hears."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from glassbox.workspace import Artifact, Draft, Run


class FollowerContext:
    """Implements `stages.interface.Context` for a process of rank 1 or more."""

    def __init__(
        self, run: Run, inputs: Mapping[str, Artifact], rank: int, world_size: int, from_checkpoint: int | None
    ) -> None:
        self.name = run.record.name
        self.attempt = run.status.attempt
        self.inputs: Mapping[str, Artifact] = inputs
        self.checkpoints: Path = run.checkpoints
        self.from_checkpoint = from_checkpoint
        self.rank, self.world_size = rank, world_size
        self.paused_seconds = 0.0

    @property
    def stop_requested(self) -> bool:
        """The process that holds the run is asked, and says so to the others."""
        return False

    def input(self, slot: str) -> Artifact:
        return self.inputs[slot]

    def output(self, slot: str) -> AbstractContextManager[Draft]:
        raise RuntimeError(f"the process of rank {self.rank} has no outputs: the one of rank 0 publishes {slot}")

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None:
        """Nobody hears it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Nobody hears it."""

    def log(self, message: str) -> None:
        """Nobody hears it."""

    def text(self, name: str, content: str) -> None:
        """Nobody hears it."""
