"""The whole way of the data, from text to a report and samples, in a small size."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from glassbox.errors import BadInput
from glassbox.flows.chain import Step, run_chain
from glassbox.stages.execution import Outcome, execute
from glassbox.stages.interface import Stage, StageSettings
from glassbox.stages.registry import load_stage
from glassbox.workspace import Artifact, Workspace

SMALL = {
    "steps": 3,
    "batch_size": 2,
    "model": {"context": 16, "width": 16, "layers": 1, "heads": 1},
    "precision": "fp32",
}
STEPS = [
    Step("collect", {"source": "names"}),
    Step("split"),
    Step("train-tokenizer", {"kind": "characters"}),
    Step("tokenize"),
    Step("pretrain", SMALL),
    Step("evaluate"),
    Step("sample", {"prompt": ["an"], "max_tokens": 5}),
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def outcomes(workspace: Workspace) -> dict[str, Outcome]:
    def one(stage: Stage, settings: StageSettings, inputs: Mapping[str, Artifact]) -> Outcome:
        return execute(stage, settings, workspace, inputs, name="names")

    return {outcome.run.record.stage: outcome for outcome in run_chain(STEPS, one)}


def test_every_stage_finishes(outcomes: dict[str, Outcome]) -> None:
    assert [outcome.run.state for outcome in outcomes.values()] == ["finished"] * len(STEPS)


def test_evaluation_says_what_training_said_of_the_same_text(outcomes: dict[str, Outcome]) -> None:
    trained, report = outcomes["pretrain"].result, outcomes["evaluate"].result
    assert report["bits_per_byte"] == pytest.approx(trained["bits_per_byte"], rel=1e-4)
    assert report["loss"] == pytest.approx(trained["validation_loss"], rel=1e-4)


def test_the_baselines_stand_from_the_worst_to_the_best(outcomes: dict[str, Outcome]) -> None:
    baselines = outcomes["evaluate"].result["baselines"]
    assert isinstance(baselines, dict)
    assert set(baselines) == {"unigram", "gzip", "xz", "xz_after_training_text"}
    assert list(baselines.values()) == sorted(baselines.values(), reverse=True)


def test_the_report_can_be_traced_back_to_the_text(outcomes: dict[str, Outcome], workspace: Workspace) -> None:
    report = outcomes["evaluate"].outputs["report"]
    assert {parent.kind for parent in report.manifest.parents} == {"model", "shards"}
    assert outcomes["sample"].result


def test_a_split_that_is_not_there_is_named_with_those_that_are(
    outcomes: dict[str, Outcome], workspace: Workspace
) -> None:
    evaluate = load_stage("evaluate")
    inputs = {
        "model": outcomes["pretrain"].outputs["model"],
        "shards": outcomes["tokenize"].outputs["shards"],
    }
    with pytest.raises(BadInput, match="train, validation, test"):
        execute(evaluate, evaluate.settings.model_validate({"split": "exam"}), workspace, inputs)
