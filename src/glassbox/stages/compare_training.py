"""Train one model in every engine at once, and lay their loss curves over one another, live.

All engines begin with the same weights and read the same batches, in float64, turn by turn: the curves that grow on the
screen are those of each engine, and the largest distance between two of them is told at the end. The batches need no
file; their losses can be learned down to ln 3.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from glassbox.spec import described
from glassbox.stages.compare_engines import REPORT, EngineName, checked_length
from glassbox.stages.interface import Context, Slot, Stage, StageSettings
from glassbox.stages.local_paths import ModelName
from glassbox.workspace.strict_json import to_json


class Settings(StageSettings):
    spec: ModelName = Field(default="microgpt", min_length=1, description="Model: a preset's name, or a spec.json.")
    engines: tuple[EngineName, ...] = Field(
        default=("scalars", "lists", "arrays", "tensors"), min_length=1, description="Engines to train in; repeat it."
    )
    steps: int = Field(default=200, ge=1, le=100_000, description="Updates of the weights.")
    batch: int = Field(default=1, ge=1, le=65_536, description="Texts in a batch.")
    length: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Tokens of each text; at most 16 of what the model reads if none."
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Of the first weights and the batches.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(default="adam", description="What updates the weights.")
    learning_rate: float = Field(default=1e-2, gt=0, le=100, description="The same at every step.")
    threads: int = Field(default=1, ge=1, le=1_024, description="Of tensors; the others have one.")
    minutes: float = Field(
        default=5.0, gt=0, le=100_000, description="Leave an engine out if its steps would take more minutes than this."
    )

    @property
    def default_name(self) -> str:
        return "training"


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.evaluation.engines.machine import this_machine
    from glassbox.evaluation.engines.training import train_side_by_side

    spec = described(settings.spec)

    def tell(done: int, losses: Any) -> None:
        context.metrics(done, {f"{engine}_loss": loss for engine, loss in losses.items()})
        context.progress(done, settings.steps, unit="steps", note=f"training in {len(losses)} engines")

    report: dict[str, Any] = {"machine": this_machine()} | train_side_by_side(
        spec,
        tuple(dict.fromkeys(settings.engines)),
        rows=settings.batch,
        length=checked_length(settings.length, spec),
        steps=settings.steps,
        seed=settings.seed,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        threads=settings.threads,
        longest_step=60 * settings.minutes / settings.steps,
        step_done=tell,
        stop_requested=lambda: context.stop_requested,
    )
    if context.stop_requested:
        return report
    with context.output("report") as draft:
        (draft.folder / REPORT).write_text(to_json(report) + "\n", encoding="utf-8")
        draft.describe(same=report["same"], model=settings.spec, steps=settings.steps)
    return report


STAGE = Stage(
    settings=Settings,
    run=run,
    makes={"report": Slot("report", "the loss of every step in each engine, and how far they lie apart")},
)
