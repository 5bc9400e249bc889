"""Rehearse everything a stage can do, without doing anything.

Only the tests have it. A text with [brackets] and a
line break in the middle of a sentence belongs to the rehearsal.
"""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from glassbox.errors import BadInput
from glassbox.stages.interface import Context, Slot, Stage, StageSettings
from glassbox.stages.local_paths import InputPath


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=8, ge=1, description="How wide.")


class Settings(StageSettings):
    steps: int = Field(default=3, ge=1, le=1_000_000, description="How many steps.")
    pause: float = Field(default=0.0, ge=0, lt=60, description="Seconds that a step takes.")
    ending: Literal["result", "bad-input", "fault", "full-disk", "no-json"] = Field(
        default="result", description="How it ends [of all things]."
    )
    loud: bool = Field(default=False, description="Whether to log every step.")
    limit: int | None = Field(default=7, ge=1, description="A limit, or none.")
    tags: tuple[str, ...] = Field(default=(), description="Any words.")
    where: InputPath | None = Field(default=None, description="A path.")
    shape: Shape = Field(default=Shape(), description="A shape.")


def run(settings: Settings, context: Context) -> dict[str, object]:
    reached = context.checkpoints / "step"
    first = int(reached.read_text()) if reached.exists() else 0
    for step in range(first, settings.steps):
        context.progress(step, settings.steps, unit="steps", note="rehearsing")
        context.metrics(step, {"loss": 1 / (step + 1), "learning_rate": 1e-3})
        if settings.loud:
            context.log(f"step {step}")
        time.sleep(settings.pause)
        reached.write_text(str(step + 1))
        if context.stop_requested:
            return {"stopped_after": step}
    context.text("sample", "To be, or [not] to be")
    with context.output("report") as draft:
        (draft.folder / "report.txt").write_text("done")
        draft.describe(steps=settings.steps)
        _end(settings.ending)
    return {"steps": settings.steps - first, "bad": object() if settings.ending == "no-json" else None}


def _end(ending: str) -> None:
    if ending == "bad-input":
        raise BadInput("The rehearsal was meant to fail.", "Choose another ending.")
    if ending == "fault":
        raise RuntimeError("a fault of ours")
    if ending == "full-disk":
        raise RuntimeError("I/O error: No space left on device (os error 28)")


STAGE = Stage(
    settings=Settings,
    run=run,
    takes={"corpus": Slot("corpus", "a corpus, if there is one", required=False)},
    makes={"report": Slot("report", "what came of it")},
)
