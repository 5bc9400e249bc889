"""A chain runs its stages in order, each on what those before it made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from glassbox.errors import BadInput
from glassbox.flows.chain import Step, run_chain
from glassbox.flows.quickstart import quickstart
from glassbox.stages.execution import Outcome, execute
from glassbox.stages.interface import Stage, StageSettings
from glassbox.stages.registry import load_stage
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Artifact, Workspace


def in_workspace(folder: Path):
    opened = Workspace(folder)

    def one(stage: Stage, settings: StageSettings, inputs: Mapping[str, Artifact]) -> Outcome:
        return execute(stage, settings, opened, inputs, name="names")

    return one


def test_each_stage_reads_what_the_one_before_it_made(own_workspace: Path) -> None:
    announced: list[tuple[int, str]] = []
    outcomes = run_chain(
        [Step("collect", {"source": "names"}), Step("split", {"seed": 3})],
        in_workspace(own_workspace),
        lambda place, stage: announced.append((place, stage.name)),
    )
    collected, split = (outcome.outputs["corpus"] for outcome in outcomes)
    assert announced == [(1, "collect"), (2, "split")]
    assert (collected.reference, split.reference) == ("names:1", "names:2")
    assert outcomes[1].run.record.settings["seed"] == 3
    assert [parent.reference for parent in split.manifest.parents] == ["names:1"]


def test_a_mistake_in_the_last_step_shows_before_the_first_one_runs(own_workspace: Path) -> None:
    with pytest.raises(ValidationError):
        run_chain([Step("collect", {"source": "names"}), Step("split", {"sed": 3})], in_workspace(own_workspace))
    assert Workspace(own_workspace).artifacts.newest("corpus") is None


def test_a_step_that_needs_what_nobody_made_is_refused(own_workspace: Path) -> None:
    with pytest.raises(BadInput, match="split needs corpus"):
        run_chain([Step("split")], in_workspace(own_workspace))


def test_an_interrupted_step_ends_the_chain(own_workspace: Path) -> None:
    opened = Workspace(own_workspace)

    def interrupted(stage: Stage, settings: StageSettings, inputs: Mapping[str, Artifact]) -> Outcome:
        stop = StopRequest()
        stop.make()
        stalled = Stage(settings=stage.settings, run=lambda settings, context: {}, makes=stage.makes)
        return execute(stalled, settings, opened, inputs, name="names", stop=stop)

    outcomes = run_chain([Step("collect", {"source": "names"}), Step("split")], interrupted)
    assert [outcome.run.state for outcome in outcomes] == ["interrupted"]


def test_every_step_of_the_quickstart_is_one_that_its_stage_accepts() -> None:
    for step in quickstart(minutes=3):
        stage = load_stage(step.stage)
        stage.settings.model_validate(dict(step.settings))
