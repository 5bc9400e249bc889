"""A chain of stages: each reads what those before it made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from glassbox.errors import BadInput
from glassbox.stages.execution import Outcome
from glassbox.stages.interface import Stage, StageSettings
from glassbox.stages.registry import load_stage
from glassbox.workspace import Artifact


@dataclass(frozen=True)
class Step:
    """A stage by name, and those of its settings that differ from their defaults."""

    stage: str
    settings: Mapping[str, object] = field(default_factory=dict[str, object])


Execute = Callable[[Stage, StageSettings, Mapping[str, Artifact]], Outcome]


def run_chain(
    steps: Sequence[Step], execute: Execute, announce: Callable[[int, Stage], None] = lambda place, stage: None
) -> list[Outcome]:
    """Run the steps in order; a slot takes the latest artifact of its kind that an earlier step made.

    announce is told the place, counted from 1, and the stage before each step. An interrupted step ends the chain: the
    outcomes so far are returned, that one the last. Raises what `execute` raises, and BadInput for settings that a
    stage refuses or an input that no earlier step makes.
    """
    prepared = [_prepared(step) for step in steps]  # every mistake shows before the first minute is spent
    made: dict[str, Artifact] = {}
    outcomes: list[Outcome] = []
    for place, (stage, settings) in enumerate(prepared, 1):
        announce(place, stage)
        missing = [name for name, slot in stage.takes.items() if slot.required and slot.kind not in made]
        if missing:
            raise BadInput(
                f"{stage.name} needs {', '.join(missing)}, which no step before it makes.",
                "Put the stage that makes it before this one.",
            )
        inputs = {name: made[slot.kind] for name, slot in stage.takes.items() if slot.kind in made}
        outcome = execute(stage, settings, inputs)
        outcomes.append(outcome)
        if outcome.run.state != "finished":
            break
        made |= {artifact.kind: artifact for artifact in outcome.outputs.values()}
    return outcomes


def _prepared(step: Step) -> tuple[Stage, StageSettings]:
    stage = load_stage(step.stage)
    return stage, stage.settings.model_validate(dict(step.settings))
