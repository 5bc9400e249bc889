"""The stage that trains on the digit task: what it makes, and how it stops and goes on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from glassbox.engines.catalogue import engine
from glassbox.engines.model_files import load_arrays
from glassbox.evaluation.digits import accuracy_by_operation, load_digit_model
from glassbox.stages.execution import Outcome, execute, resume
from glassbox.stages.registry import load_stage
from glassbox.stages.stopping import StopRequest
from glassbox.tokenizers import load
from glassbox.workspace import Workspace

STAGE = load_stage("train-digits")


class StopAt:
    """A watcher that asks to stop once the metrics have come to a step."""

    def __init__(self, step: int) -> None:
        self.step, self.request = step, StopRequest()

    def on_event(self, event: Any) -> None:
        if event.kind == "metrics" and event.fields["step"] >= self.step and not self.request.made:
            self.request.make()

    def on_progress(self, progress: Any) -> None: ...


def train(workspace: Workspace, watcher: Any = None, **settings: Any) -> Outcome:
    chosen = STAGE.settings(**({"size": "small", "epochs": 3} | settings))
    return execute(STAGE, chosen, workspace, {}, watcher=watcher, stop=watcher.request if watcher else None)


def weights(outcome: Outcome) -> dict[str, Any]:
    return load_arrays(outcome.outputs["model"].folder / "model.safetensors")


@pytest.mark.parametrize(("task", "name"), [("one-digit", "digits"), ("two-digit", "two-digits")])
def test_the_model_is_whole_and_its_story_is_true(workspace: Workspace, task: str, name: str):
    outcome = train(workspace, task=task)
    model = outcome.outputs["model"]
    assert model.reference == f"{name}:1"
    assert load(model.folder / "tokenizer").vocabulary_size == 20
    story = json.loads((model.folder / "training.json").read_text())
    assert story["result"] == outcome.result
    assert story["settings"]["epochs"] == 3
    loaded = load_digit_model(model.folder, engine("arrays"))
    assert accuracy_by_operation(loaded.model, loaded.test) == outcome.result["accuracy_by_operation"]
    assert outcome.result["accuracy"] == pytest.approx(np.mean([*outcome.result["accuracy_by_operation"].values()]))
    told = [event.fields for event in outcome.run.events if event.kind == "metrics"]
    assert told[-1]["step"] == outcome.result["steps"] == 96
    assert set(told[-1]["values"]) == {"loss", "accuracy", "gradient_norm", "learning_rate"}
    assert told[-1]["values"]["loss"] < told[0]["values"]["loss"]


@pytest.mark.parametrize("settings", [{"engine": "arrays"}, {"engine": "tensors", "precision": "float64"}])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(workspace: Workspace, settings: dict[str, Any]):
    straight = train(workspace, **settings)
    watcher = StopAt(40)
    stopped = train(workspace, watcher, **settings)
    assert stopped.run.state == "interrupted"
    assert stopped.result == {"finished": False, "steps": 40}
    assert stopped.outputs == {}
    resumed = resume(workspace, stopped.run.id)
    assert resumed.run.state == "finished"
    for name, weight in weights(straight).items():
        np.testing.assert_array_equal(weights(resumed)[name], weight)


def test_the_settings_override_the_recipe(workspace: Workspace):
    outcome = train(workspace, epochs=1, batch_size=500, learning_rate=1e-4)
    assert outcome.result["steps"] == 2
    rates = [event.fields["values"]["learning_rate"] for event in outcome.run.events if event.kind == "metrics"]
    assert rates[-1] <= 1e-4


def test_the_seed_decides(workspace: Workspace):
    same, again, other = (train(workspace, epochs=1, seed=seed) for seed in (5, 5, 6))
    assert (weights(same)["output.weight"] == weights(again)["output.weight"]).all()
    assert (weights(same)["output.weight"] != weights(other)["output.weight"]).any()
