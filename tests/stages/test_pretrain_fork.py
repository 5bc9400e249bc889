"""A run that goes on from a checkpoint of another run, with what its weights don't depend on chosen anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_pretrain import inputs_of, pretrained, weights_of

from glassbox.errors import BadInput
from glassbox.stages.execution import resume
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.run import Origin, Run
from glassbox.workspace.saved_steps import step_folder

TEXT = "the cat sat on the mat and the dog ate the cake that the cat had made for the man with the hat. "


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def inputs(workspace: Workspace) -> dict[str, Artifact]:
    return inputs_of(workspace, {"train": [TEXT] * 30, "validation": [TEXT[20:], TEXT[40:]]})


def forked(workspace: Workspace, run: Run, inputs: dict[str, Artifact], step: int, **changes: Any) -> str:
    """A new run, queued, with the checkpoint of that step and what was decided."""
    record = workspace.runs.describe(
        "pretrain",
        name="fork",
        settings=run.record.settings | changes,
        inputs=inputs,
        origin=Origin(run=run.id, step=step),
    )
    needed = (step_folder(run.checkpoints, step), run.checkpoints / "decisions.json")
    workspace.runs.publish(record, {path.name: path for path in needed})
    return record.id


def test_a_fork_without_changes_ends_as_the_run_itself(workspace: Workspace, inputs: dict[str, Artifact]):
    whole = pretrained(workspace, inputs, checkpoint_every=10, keep_checkpoints=9)
    fork = resume(workspace, forked(workspace, whole.run, inputs, 10))
    assert fork.run.record.origin == Origin(run=whole.run.id, step=10)
    before, after = weights_of(whole), weights_of(fork)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert min(event.fields["step"] for event in fork.run.events if event.kind == "metrics") > 10


def test_a_fork_may_go_on_for_longer_and_otherwise(workspace: Workspace, inputs: dict[str, Artifact]):
    whole = pretrained(workspace, inputs, checkpoint_every=10, keep_checkpoints=9)
    fork = resume(
        workspace, forked(workspace, whole.run, inputs, 20, steps=45, learning_rate=0.003, schedule="constant")
    )
    assert fork.result["steps"] == 45
    values = [event.fields["values"] for event in fork.run.events if event.kind == "metrics"]
    assert {round(one["learning_rate"], 9) for one in values if "learning_rate" in one} == {0.003}
    before, after = weights_of(whole), weights_of(fork)
    assert not all(torch.equal(before[name], after[name]) for name in before)


def test_a_fork_of_another_model_is_refused(workspace: Workspace, inputs: dict[str, Artifact]):
    whole = pretrained(workspace, inputs, checkpoint_every=10, keep_checkpoints=9)
    other = {"model": {**whole.run.record.settings["model"], "width": 32}}
    with pytest.raises(BadInput, match="belongs to another run"):
        resume(workspace, forked(workspace, whole.run, inputs, 10, **other))
