"""The stage pretrain: from shards to a model in the workspace."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from glassbox.cli.settings_options import read_settings, setting_options
from glassbox.data.shard_writer import ShardWriter
from glassbox.data.shards import Shards
from glassbox.engines.tensors import load_model
from glassbox.errors import BadInput
from glassbox.evaluation.held_out import held_out
from glassbox.spec import ModelSpec, count_parameters, preset
from glassbox.stages import pretrain
from glassbox.stages.execution import Outcome, execute, resume
from glassbox.stages.pretraining.running import DECISIONS_FILE
from glassbox.stages.stopping import StopRequest
from glassbox.tokenizers import load
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.training import checkpoints
from glassbox.training.recipe import ARCHITECTURE, recommend
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.saved_steps import saved_steps, step_folder

TEXT = "the cat sat on the mat and the dog ate the cake that the cat had made for the man with the hat. "
SMALL: dict[str, Any] = {
    "model": {"context": 16, "width": 16, "layers": 2, "heads": 2},
    "batch_size": 8,
    "steps": 30,
    "threads": 1,
    "precision": "fp32",
    "sample_tokens": 8,
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def inputs(workspace: Workspace) -> dict[str, Artifact]:
    return inputs_of(workspace, {"train": [TEXT] * 30, "validation": [TEXT[20:], TEXT[40:]]})


def inputs_of(workspace: Workspace, texts: dict[str, list[str]]) -> dict[str, Artifact]:
    """Shards of the texts by characters, and the tokenizer that made them."""
    tokenizer = CharacterTokenizer.train([TEXT])
    letters = workspace.artifacts.draft("tokenizer", "letters")
    with letters:
        tokenizer.save(letters.folder)
    draft = workspace.artifacts.draft("shards", "cats", parents=[letters.artifact])
    with draft:
        size, reference, end = tokenizer.vocabulary_size, letters.artifact.reference, tokenizer.end_of_text
        with ShardWriter(draft.folder, vocabulary_size=size, tokenizer=reference, end_of_text=end) as writer:
            for split, documents in texts.items():
                writer.append(split, tokenizer.encode_arrays(documents), len("".join(documents).encode()))
    return {"shards": draft.artifact, "tokenizer": letters.artifact}


def pretrained(
    workspace: Workspace,
    inputs: dict[str, Artifact],
    *,
    stop: StopRequest | None = None,
    watcher: Any = None,
    **settings: Any,
) -> Outcome:
    chosen = pretrain.Settings.model_validate(SMALL | settings)
    return execute(pretrain.STAGE, chosen, workspace, inputs, stop=stop, watcher=watcher)


def weights_of(outcome: Outcome) -> dict[str, torch.Tensor]:
    return load_model(outcome.outputs["model"].folder).weights()


def assert_same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(weight, right[name]) for name, weight in left.items())


class StopAfter:
    """A watcher that asks to stop once the metrics have come to a step."""

    def __init__(self, step: int) -> None:
        self.step, self.request = step, StopRequest()

    def on_event(self, event: Any) -> None:
        if not self.request.made and event.kind == "metrics" and event.fields["step"] >= self.step:
            self.request.make()

    def on_progress(self, progress: Any) -> None: ...


def test_shards_become_a_whole_model_that_measures_as_it_was_told(
    workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    outcome = pretrained(workspace, inputs, steps=60)
    artifact = outcome.outputs["model"]
    files = sorted(path.name for path in artifact.folder.iterdir())
    assert files == ["manifest.json", "model.safetensors", "spec.json", "tokenizer", "training.json"]
    model = load_model(artifact.folder)
    assert load(artifact.folder / "tokenizer").vocabulary_size == model.spec.vocabulary_size
    measured = held_out(model, Shards(inputs["shards"].folder).split("validation"))
    assert outcome.result["validation_loss"] == pytest.approx(measured.loss, rel=1e-5)
    assert outcome.result["bits_per_byte"] == pytest.approx(measured.bits_per_byte, rel=1e-5)
    assert outcome.result["perplexity"] == pytest.approx(measured.perplexity, rel=1e-5)
    assert measured.loss < 0.8 * math.log(model.spec.vocabulary_size)
    assert artifact.facts["validation_loss"] == outcome.result["validation_loss"]


def test_prediction_and_measurement_stand_side_by_side(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    outcome = pretrained(workspace, inputs)
    predicted, measured = outcome.result["predicted"], outcome.result["measured"]
    assert isinstance(predicted, dict)
    assert isinstance(measured, dict)
    assert predicted.keys() == measured.keys() == {"parameters", "memory_bytes", "seconds"}
    spec = load_model(outcome.outputs["model"].folder).spec
    assert predicted["parameters"] == measured["parameters"] == count_parameters(spec).total
    assert predicted["seconds"] > 0
    said = [event.fields["message"] for event in outcome.run.events if event.kind == "log"]
    assert [line.split(":")[0] for line in said] == ["Predicted", "Measured"]


def test_the_run_tells_losses_evaluations_and_samples(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    outcome = pretrained(workspace, inputs, evaluate_every=10, sample_every=15)
    metrics = [event.fields for event in outcome.run.events if event.kind == "metrics"]
    assert [one["step"] for one in metrics if "validation_loss" in one["values"]] == [10, 20, 30]
    losses = [one["values"] for one in metrics if "loss" in one["values"]]
    wanted = {"loss", "learning_rate", "gradient_norm", "tokens_per_second", "memory_bytes", "model_flops_utilization"}
    assert all(values.keys() == wanted for values in losses)
    texts = [event.fields for event in outcome.run.events if event.kind == "text"]
    assert [text["name"] for text in texts] == ["sample after 15 steps", "sample after 30 steps"]
    assert all(text["content"] for text in texts)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    whole = pretrained(workspace, inputs, dropout=0.1)
    watcher = StopAfter(10)
    stopped = pretrained(workspace, inputs, dropout=0.1, stop=watcher.request, watcher=watcher)
    assert stopped.run.state == "interrupted"
    assert stopped.outputs == {}
    assert stopped.result["finished"] is False
    resumed = resume(workspace, stopped.run.id)
    assert resumed.result["attempts"] == 2
    assert_same_bits(weights_of(whole), weights_of(resumed))


def test_a_run_goes_back_to_any_checkpoint_and_still_ends_with_the_same_bits(
    workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    whole = pretrained(workspace, inputs, checkpoint_every=5, keep_checkpoints=10)
    watcher = StopAfter(20)
    stopped = pretrained(
        workspace, inputs, checkpoint_every=5, keep_checkpoints=10, watcher=watcher, stop=watcher.request
    )
    assert saved_steps(stopped.run.checkpoints)[:4] == [5, 10, 15, 20]
    resumed = resume(workspace, stopped.run.id, from_checkpoint=10)
    told = [event.fields["message"] for event in resumed.run.events if event.kind == "log"]
    assert "Going on from step 10 of 30." in told
    assert saved_steps(resumed.run.checkpoints) == [5, 10, 15, 20, 25, 30]
    assert_same_bits(weights_of(whole), weights_of(resumed))


def test_going_back_to_a_checkpoint_that_is_not_there_or_damaged_changes_nothing(
    workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    watcher = StopAfter(20)
    run = pretrained(
        workspace, inputs, checkpoint_every=5, keep_checkpoints=10, watcher=watcher, stop=watcher.request
    ).run
    before = saved_steps(run.checkpoints)
    with pytest.raises(BadInput, match="no checkpoint of step 7") as refused:
        resume(workspace, run.id, from_checkpoint=7)
    assert "5, 10, 15, 20" in refused.value.remedy
    (step_folder(run.checkpoints, 10) / "weights.safetensors").write_bytes(b"rot")
    with pytest.raises(BadInput, match="damaged"):
        resume(workspace, run.id, from_checkpoint=10)
    assert saved_steps(run.checkpoints) == before
    assert resume(workspace, run.id).result["finished"]


def test_a_finished_run_keeps_its_newest_checkpoint_unless_more_were_asked_for(
    workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    assert saved_steps(pretrained(workspace, inputs, checkpoint_every=5).run.checkpoints) == [30]
    asked = pretrained(workspace, inputs, checkpoint_every=5, keep_checkpoints=3).run
    assert saved_steps(asked.checkpoints)[-3:] == [20, 25, 30]


def test_seconds_become_steps_once_and_a_resumed_run_keeps_them(
    workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    watcher = StopAfter(1)
    stopped = pretrained(workspace, inputs, steps=None, seconds=3.0, stop=watcher.request, watcher=watcher)
    decided = next(workspace.folder.rglob(DECISIONS_FILE))
    before = decided.read_bytes()
    steps = json.loads(before)["plan"]["steps"]
    assert steps >= 1  # how many depends on the machine
    resumed = resume(workspace, stopped.run.id)
    assert resumed.result["steps"] == steps
    story = json.loads((resumed.outputs["model"].folder / "training.json").read_text())
    assert story["decisions"] == json.loads(before)
    assert story["settings"]["seconds"] == 3.0


def test_a_full_disk_fails_the_run_and_it_goes_on_when_there_is_room(
    workspace: Workspace, inputs: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrained(workspace, inputs, checkpoint_every=10)
    save = checkpoints.save_file

    def fills_up(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if "step-00000020" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", fills_up)
        with pytest.raises(BadInput, match=r"checkpoint of step 20 .* the checkpoint of step 10 is untouched"):
            pretrained(workspace, inputs, checkpoint_every=10)
    failed = next(run for run in workspace.runs.list() if run.state == "failed")
    assert_same_bits(weights_of(whole), weights_of(resume(workspace, failed.id)))


def test_a_damaged_newest_checkpoint_is_said_aloud(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    watcher = StopAfter(25)
    stopped = pretrained(workspace, inputs, checkpoint_every=10, stop=watcher.request, watcher=watcher)
    newest = max(stopped.run.folder.rglob("step-*"))
    (newest / "weights.safetensors").write_bytes(b"nonsense")
    resumed = resume(workspace, stopped.run.id)
    said = " ".join(event.fields["message"] for event in resumed.run.events if event.kind == "log")
    assert f"{newest.name} is damaged" in said
    assert "Going on from the checkpoint of step 20, the newest one that is whole." in said


def test_damaged_decisions_are_refused(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    watcher = StopAfter(10)
    stopped = pretrained(workspace, inputs, stop=watcher.request, watcher=watcher)
    next(workspace.folder.rglob(DECISIONS_FILE)).write_text("{}")
    with pytest.raises(BadInput, match="how this run was planned, is damaged"):
        resume(workspace, stopped.run.id)


def test_a_description_in_a_file_is_trained_as_a_preset_is(
    workspace: Workspace, inputs: dict[str, Artifact], tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    preset("microgpt").replace(layers=2).save(file)
    outcome = pretrained(workspace, inputs, preset=str(file), model={"context": 8}, steps=3)
    assert ModelSpec.load(outcome.outputs["model"].folder / "spec.json").layers == 2


def test_a_preset_takes_the_vocabulary_of_the_shards(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    outcome = pretrained(workspace, inputs, preset="microgpt", model={"context": 8}, steps=3)
    spec = load_model(outcome.outputs["model"].folder).spec
    assert (spec.width, spec.context, spec.activation) == (16, 8, "relu")
    assert spec.vocabulary_size == Shards(inputs["shards"].folder).vocabulary_size


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adam", "sgd"])
def test_every_optimizer_trains(workspace: Workspace, inputs: dict[str, Artifact], optimizer: str) -> None:
    outcome = pretrained(workspace, inputs, optimizer=optimizer, schedule="cosine", learning_rate=0.01, steps=20)
    assert isinstance(outcome.result["validation_loss"], float)
    assert outcome.result["validation_loss"] < 3.0


def test_what_nobody_chose_follows_the_recipe(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    settings = pretrain.Settings(steps=2, threads=1, device="cpu", precision="fp32", sample_tokens=4)
    outcome = execute(pretrain.STAGE, settings, workspace, inputs)
    story = json.loads((outcome.outputs["model"].folder / "training.json").read_text())
    choices = story["decisions"]["choices"]
    shards = Shards(inputs["shards"].folder)
    recipes = [
        recommend(shards.split("train").token_count, shards.vocabulary_size, 180, speed) for speed in (1e9, 1e10, 1e12)
    ]
    spec = load_model(outcome.outputs["model"].folder).spec
    assert spec.model_dump(include=set(ARCHITECTURE)) == ARCHITECTURE
    assert choices["optimizer"] == recipes[0].optimizer
    assert choices["learning_rate"] == recipes[0].learning_rate
    assert min(recipe.spec.width for recipe in recipes) <= spec.width <= max(recipe.spec.width for recipe in recipes)


def test_a_width_brings_its_own_number_of_heads(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    outcome = pretrained(workspace, inputs, model={"width": 128, "layers": 1, "context": 8}, steps=2)
    assert load_model(outcome.outputs["model"].folder).spec.heads == 2


def test_every_choice_at_once(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    outcome = pretrained(
        workspace,
        inputs,
        micro_batch=0,
        precision="auto",
        gradient_checkpointing=True,
        dropout=0.1,
        patience=2,
        weight_decay=0.05,
        optimizer="adamw",
        evaluate_every=5,
    )
    said = " ".join(event.fields["message"] for event in outcome.run.events if event.kind == "log")
    assert "windows at once" in said
    story = json.loads((outcome.outputs["model"].folder / "training.json").read_text())
    assert story["decisions"]["precision"] in ("fp32", "bf16")
    assert 1 <= story["decisions"]["micro_batch"] <= 8
    assert outcome.result["best_step"] is not None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "steps and seconds": ({"seconds": 10.0}, "Both a number of steps and a time"),
    "an unknown preset": ({"preset": "gpt2-smal"}, "No preset is called 'gpt2-smal'"),
    "an encoder": ({"preset": "digits", "model": {}}, "which doesn't go on with text"),
    "a width that heads don't divide": ({"model": {"width": 18, "heads": 4}}, "width 18 is not divisible by 4 heads"),
    "a context longer than the data": ({"model": {"context": 10_000}}, "a context of 10,000 needs at least 10,001"),
    "weight decay where there is none": ({"optimizer": "sgd", "weight_decay": 0.1}, "sgd has no weight decay"),
    "no time for a step": ({"steps": None, "seconds": 1e-6}, "Not one training step fits"),
    "a GPU that isn't there": ({"device": "cuda"}, "No GPU that PyTorch can use"),
    "a format too slow for a CPU": ({"precision": "fp16"}, "A CPU multiplies matrices in fp16 many times slower"),
    "a rate that diverges": (
        {"preset": "gpt2-small", "model": {"context": 16, "width": 16, "layers": 2, "heads": 2}, "optimizer": "sgd"}
        | {"learning_rate": 100.0, "clip": 0, "steps": 300},
        "Training diverged",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_trained_is_refused_and_leaves_no_model(
    workspace: Workspace, inputs: dict[str, Artifact], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings, sentence = REFUSED[what]
    with pytest.raises(BadInput) as raised:
        pretrained(workspace, inputs, **settings)
    assert sentence in raised.value.problem
    assert raised.value.remedy
    assert not (workspace.folder / "artifacts" / "model").exists()


def test_shards_of_another_tokenizer_are_refused(workspace: Workspace, inputs: dict[str, Artifact]) -> None:
    other = workspace.artifacts.draft("tokenizer", "letters")
    with other:
        CharacterTokenizer.train(["other letters"]).save(other.folder)
    with pytest.raises(BadInput, match="were made by the tokenizer letters:1 of") as raised:
        pretrained(workspace, inputs | {"tokenizer": other.artifact})
    assert "Give --tokenizer letters:1" in raised.value.remedy


def test_shards_without_a_validation_split_are_refused(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="have no split validation"):
        pretrained(workspace, inputs_of(workspace, {"train": [TEXT] * 10}))


def test_a_field_of_the_model_is_an_option_with_its_bounds() -> None:
    options = {option.flag: option for option in setting_options(pretrain.Settings)}
    assert "Length of the vector" in options["--model-width"].help
    assert "--model-vocabulary-size" not in options
    chosen = read_settings(
        pretrain.Settings, {("model", "width"): "64", ("model", "qk_norm"): True}, "glassbox pretrain"
    )
    assert chosen.model.model_dump(exclude_none=True) == {"width": 64, "qk_norm": True}
    with pytest.raises(BadInput, match=r"--model-width takes a number at least 1"):
        read_settings(pretrain.Settings, {("model", "width"): "0"}, "glassbox pretrain")
