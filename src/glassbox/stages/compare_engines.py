"""Compare the engines: the same step with every number in every engine; with --bench time and memory over sizes.

All engines begin with the same weights and read the same batch, in float64. Logits, loss, every gradient and every
updated weight are laid beside PyTorch's. The bench then trains models from microgpt's size up, each engine as far as
its level allows within the minutes given, in a process of its own: time, memory, learning, and from where on tensors
beat arrays. The report is kept; a bench is compared with an earlier one of the same machine.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, field_validator

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, described, preset
from glassbox.stages.interface import Context, Slot, Stage, StageSettings
from glassbox.stages.local_paths import ModelName
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.strict_json import to_json

NAME = "engines"
REPORT = "report.json"

EngineName = Literal["scalars", "lists", "arrays", "tensors"]


class Settings(StageSettings):
    spec: ModelName = Field(
        default="microgpt", min_length=1, description="Model of the step: a preset's name, or a spec.json."
    )
    engines: tuple[EngineName, ...] = Field(
        default=("scalars", "lists", "arrays", "tensors"), min_length=1, description="Engines to compare; repeat it."
    )
    batch: int = Field(default=1, ge=1, le=65_536, description="Texts in a batch.")
    length: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Tokens of each text; at most 16 of what the model reads if none."
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Of the first weights and the batches.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(default="adamw", description="What updates the weights.")
    repeats: int = Field(default=5, ge=1, le=1_000, description="Steps in turns; the times are their medians.")
    longest_step: float = Field(
        default=60.0, gt=0, le=86_400, description="Leave an engine out if a step would take more seconds than this."
    )
    threads: int = Field(
        default=1, ge=1, le=1_024, description="Of arrays and tensors; scalars and lists have one in any case."
    )
    bench: bool = Field(default=False, description="Also measure time, memory and learning over sizes of models.")
    sizes: tuple[str, ...] = Field(
        default=("1x16", "2x32", "4x64", "4x128", "6x256"),
        min_length=1,
        description="Sizes of the bench, LAYERSxWIDTH; repeat it.",
    )
    more_batches: tuple[int, ...] = Field(
        default=(8, 64), description="Batches that arrays and tensors are measured with besides; repeat it."
    )
    steps: int = Field(default=50, ge=1, le=10_000, description="Steps after which the losses are compared.")
    minutes: float = Field(default=3.0, gt=0, le=600, description="How long the bench may train, all engines together.")

    @field_validator("more_batches")
    @classmethod
    def _positive(cls, batches: tuple[int, ...]) -> tuple[int, ...]:
        if wrong := [batch for batch in batches if not 1 <= batch <= 65_536]:
            raise ValueError(f"a batch has 1 to 65,536 texts, and {wrong[0]} came")
        return batches

    @property
    def default_name(self) -> str:
        return NAME


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.evaluation.engines.agreement import compare_step
    from glassbox.evaluation.engines.bench import Size, bench, regressions
    from glassbox.evaluation.engines.machine import same_hardware, this_machine

    spec = described(settings.spec)
    sizes = [Size.parse(size) for size in dict.fromkeys(settings.sizes)]
    engines = tuple(dict.fromkeys(settings.engines))
    previous = _previous(context)
    machine = this_machine()
    report: dict[str, Any] = {"machine": machine}
    report["step"] = compare_step(
        spec,
        engines,
        rows=settings.batch,
        length=checked_length(settings.length, spec),
        seed=settings.seed,
        optimizer=settings.optimizer,
        repeats=settings.repeats,
        longest_step=settings.longest_step,
        threads=settings.threads,
        progress=lambda done, total, name: context.progress(done, total, unit="steps", note=f"one step with {name}"),
    )
    if settings.bench:
        report["bench"] = bench(
            sizes,
            engines,
            rows=settings.batch,
            length=settings.length or preset("microgpt").context,
            more_rows=sorted(set(settings.more_batches) - {settings.batch}),
            steps=settings.steps,
            seed=settings.seed,
            threads=settings.threads,
            seconds=60 * settings.minutes,
            progress=lambda done, total, name: context.progress(done, total, unit="trials", note=f"training {name}"),
            stop_requested=lambda: context.stop_requested,
        )
        _tell_losses(report["bench"], settings.steps, context)
        if previous and "bench" in previous[1] and same_hardware(previous[1]["machine"], machine):
            found = regressions(previous[1]["bench"], report["bench"])
            report["since"] = {"report": previous[0], "machine": previous[1]["machine"], "regressions": found}
    if context.stop_requested:
        return report
    with context.output("report") as draft:
        (draft.folder / REPORT).write_text(to_json(report) + "\n", encoding="utf-8")
        draft.describe(agree=report["step"]["agree"], model=settings.spec, bench=settings.bench)
    return report


def last_bench(workspace: Workspace) -> Artifact | None:
    """The newest bench of a machine like this one, for a new one to be compared with."""
    from glassbox.evaluation.engines.machine import same_hardware, this_machine

    machine = this_machine()
    for entry in workspace.artifacts.list("report", NAME):
        if entry.problem is None:
            artifact = Artifact.read(entry.folder)
            if artifact.facts.get("bench") and same_hardware(_read(artifact)["machine"], machine):
                return artifact
    return None


def _tell_losses(bench: dict[str, Any], steps: int, context: Context) -> None:
    """The smallest model's losses in each engine as metrics, so that a plot lays them over one another."""
    smallest = next(iter(bench["sizes"]))
    losses = {engine: sizes[smallest]["losses"] for engine, sizes in bench["engines"].items() if smallest in sizes}
    for step in range(min([steps, *map(len, losses.values())]) if losses else 0):
        values = {f"{engine.replace(' ', '_')}_loss": found[step] for engine, found in losses.items()}
        context.metrics(step + 1, values)


def checked_length(asked: int | None, spec: ModelSpec) -> int:
    """Tokens of a text: as asked for, or at most 16. Raises BadInput for more than the model reads."""
    if asked is not None and asked > spec.context:
        raise BadInput(
            f"Texts of {asked} tokens were asked for, and the model reads {spec.context}.", "Lower --length."
        )
    return asked or min(16, spec.context)


def _previous(context: Context) -> tuple[str, dict[str, Any]] | None:
    artifact = context.inputs.get("previous")
    return None if artifact is None else (artifact.reference, _read(artifact))


def _read(artifact: Artifact) -> dict[str, Any]:
    try:
        report = json.loads((artifact.folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The report {artifact.reference} cannot be read: {error}.", "Compare with another one: --previous."
        ) from None
    if not isinstance(report, dict) or "machine" not in report:
        raise BadInput(
            f"The report {artifact.reference} is no comparison of engines.",
            "Give one made by glassbox compare engines.",
        )
    return report


STAGE = Stage(
    settings=Settings,
    run=run,
    takes={"previous": Slot("report", "an earlier comparison to compare a bench with", required=False)},
    makes={"report": Slot("report", "differences, times, memory, code, and what became slower")},
)
