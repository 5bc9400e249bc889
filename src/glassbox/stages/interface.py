"""What a stage is: settings, the kinds of artifact that it takes and makes, and a function.

A stage is one file of this folder with a docstring, a `Settings` class, a `run` function and a `STAGE`:

    \"\"\"Count the words of a corpus.\"\"\"
    class Settings(StageSettings):
        longest: int = Field(20, ge=1, description="Leave out words longer than this many characters.")

    def run(settings: Settings, context: Context) -> dict[str, object]:
        corpus = context.input("corpus")
        with context.output("report") as draft:
            (draft.folder / "words.json").write_text(...)
            draft.describe(words=123)
        return {"words": 123}

    STAGE = Stage(settings=Settings, run=run,
                  takes={"corpus": Slot("corpus", "the text to count")}, makes={"report": Slot("report", "the counts")})

Import PyTorch, and whatever else is slow to import, inside `run`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from glassbox.stages.local_paths import refuse_bare_paths
from glassbox.workspace.artifact import Artifact
from glassbox.workspace.draft import Draft
from glassbox.workspace.events import Event
from glassbox.workspace.names import Kind


class StageSettings(BaseModel):
    """Base of every stage's `Settings`: frozen, no unknown fields, every field with a description and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """A path in the settings says that it is one, so that nobody from elsewhere can name a file of ours."""
        super().__pydantic_init_subclass__(**kwargs)
        refuse_bare_paths(cls)

    @property
    def default_name(self) -> str | None:
        """What the outputs are called if nobody says otherwise and there is no input whose name they could take."""
        return None

    def name_after(self, input_name: str) -> str:
        """What the outputs are called if nobody says otherwise, by the name of the first input: the same name."""
        return input_name


@dataclass(frozen=True)
class Slot:
    """A place for one artifact among a stage's inputs or outputs."""

    kind: Kind
    description: str
    required: bool = True


class Context(Protocol):
    """What a running stage may ask of its surroundings."""

    name: str
    """The name that the outputs get."""
    attempt: int
    """1 the first time, one more after each resume."""
    inputs: Mapping[str, Artifact]
    """The given inputs by slot; an optional slot that was left empty is missing here."""
    checkpoints: Path
    """This run's folder for what its next attempt needs; empty at the first."""
    from_checkpoint: int | None
    """The step whose checkpoint a person asked to go on from; None takes the newest."""
    rank: int
    """Which of the processes that share the work this is; 0, the one that holds the run, unless the stage is parallel.

    What the others tell is heard by nobody, and they have no outputs.
    """
    world_size: int
    """How many processes share the work."""
    paused_seconds: float
    """How long this attempt has been paused so far."""

    @property
    def stop_requested(self) -> bool:
        """Someone asked to stop: save what the next attempt needs into `checkpoints`, and return soon.

        Ask between two units of work: while someone wants the run paused, this doesn't return. A run that returns after
        True without having published every output counts as interrupted and can be resumed, or as cancelled.
        """
        ...

    def input(self, slot: str) -> Artifact:
        """The artifact in a slot that is always filled."""
        ...

    def output(self, slot: str) -> AbstractContextManager[Draft]:
        """A draft to write into; leaving the block publishes it as one step, an exception discards it."""
        ...

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None:
        """How far the stage is: `done` of `total` units. Cheap: call it as often as you like."""
        ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers measured at a step. Every call is kept for ever: call it as often as a plot needs."""
        ...

    def log(self, message: str) -> None:
        """One line worth keeping."""
        ...

    def text(self, name: str, content: str) -> None:
        """A piece of text that the run made, such as a generated sample."""
        ...


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """What a stage raises to leave its work because `stop_requested`; drafts that it leaves are thrown away."""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units; the note says what is being done."""

    done: float
    total: float | None
    unit: str
    note: str


class Watcher(Protocol):
    """Someone who looks on while a stage runs, such as a terminal."""

    def on_event(self, event: Event) -> None:
        """Something was written to the run's events; every kind but progress comes here."""
        ...

    def on_progress(self, progress: Progress) -> None:
        """How far the stage is, more often than the events tell."""
        ...


@dataclass(frozen=True)
class Needs:
    """What a run takes of the machine, as far as its settings and inputs tell.

    threads: of the processor; 0 takes as many as there are. memory: bytes. gpu: whether it takes one.
    """

    threads: int = 1
    memory: int = 2**30  # a process that imports PyTorch takes half of it before it has done anything
    gpu: Literal["never", "if there is one", "always"] = "never"


def _modest(_settings: Any, _inputs: Mapping[str, Artifact]) -> Needs:
    return Needs()


@dataclass(frozen=True)
class Stage:
    """One thing that a person can do. Its name and its summary come from the module of its `run` function.

    parallel: several processes can share the work of one run; then each of them calls `run` (docs/parallel.md).
    needs: what a run with these settings and inputs will take; cheap, before anything is computed.
    may_differ: settings in which a run that goes on from another run's checkpoint may differ from that run.
    """

    settings: type[StageSettings]
    run: Callable[[Any, Context], dict[str, object]]
    takes: Mapping[str, Slot] = field(default_factory=dict[str, Slot])
    makes: Mapping[str, Slot] = field(default_factory=dict[str, Slot])
    parallel: bool = False
    needs: Callable[[Any, Mapping[str, Artifact]], Needs] = _modest
    may_differ: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """`train-tokenizer` for `train_tokenizer.py`."""
        return self.run.__module__.rpartition(".")[2].replace("_", "-")

    @property
    def description(self) -> str:
        """The module's docstring."""
        return (sys.modules[self.run.__module__].__doc__ or "").strip()

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.description.partition("\n")[0]
