"""`glassbox digits`: what a person and a script see of the digit task."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassbox.cli.heatmap import ATTENTION, bar, heatmap, shade
from glassbox.data.digits import OPERATIONS, TASKS, generate
from glassbox.stages.execution import execute
from glassbox.stages.registry import load_stage
from glassbox.workspace import Workspace


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A workspace with a model of each task that has learned a little."""
    workspace = Workspace(tmp_path_factory.mktemp("trained"))
    stage = load_stage("train-digits")
    for task in TASKS:
        execute(stage, stage.settings(task=task, size="small", epochs=6), workspace, {})
    return str(workspace.folder)


def test_generate_shows_an_example_of_each_operation_with_its_answer(glassbox):
    shown = glassbox("digits", "generate", "--size", "small").out
    for operation in OPERATIONS:
        assert shown.count(f"{operation} (") == 2
    assert "train: 1,000 examples" in shown
    assert "test: 500 examples" in shown


@pytest.mark.parametrize("task", TASKS)
def test_generate_writes_what_training_reads(glassbox, tmp_path: Path, task: str):
    folder = tmp_path / "new" / "folder"
    arguments = ("--task", task, "--size", "small", "--seed", "2", "--folder", str(folder), "--json")
    result = glassbox("digits", "generate", *arguments)
    assert result.json["counts"]["train"] == dict.fromkeys(OPERATIONS, 200)
    expected = generate(TASKS[task], "small", 2)
    for file, examples in ((folder / "train.jsonl", expected.train), (folder / "test.jsonl", expected.test)):
        assert str(file) in result.json["files"]
        written = [json.loads(line) for line in file.read_text().splitlines()]
        assert written == [{"text": example.text, "answer": example.answer} for example in examples]


def test_generate_writes_over_nothing(glassbox, tmp_path: Path):
    (tmp_path / "test.jsonl").write_text("mine")
    result = glassbox("digits", "generate", "--folder", str(tmp_path))
    assert result.code == 2
    assert "is there already" in result.err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["test.jsonl"]
    (tmp_path / "file").write_text("")
    for impossible in (tmp_path / "file" / "below", Path("/dev/null/below"), Path("/proc/below")):
        result = glassbox("digits", "generate", "--folder", str(impossible))
        assert result.code == 2
        assert "cannot be written into" in result.err


def test_train_is_the_stage(glassbox, own_workspace: Path):
    result = glassbox("digits", "train", "--size", "small", "--epochs", "1", "--json", "--name", "mine")
    assert result.code == 0
    assert result.json["outputs"] == {"model": "mine:1"}
    assert result.json["state"] == "finished"
    assert set(result.json["accuracy_by_operation"]) == set(OPERATIONS)
    assert "--step-by-step" in glassbox("digits", "train", "--help").out
    assert glassbox("digits", "evaluate", "--model", "mine").code == 0


def test_evaluate_counts_what_training_counted(glassbox, trained: str):
    for name in ("digits", "two-digits"):
        result = glassbox("digits", "evaluate", "--model", name, "--workspace", trained, "--json").json
        facts = Workspace(Path(trained)).artifacts.get("model", name).facts
        assert result["accuracy"] == pytest.approx(facts["accuracy"])
        assert result["test_examples"] == 500
        assert 0 < len(result["wrong"]) <= 20
    shown = glassbox("digits", "evaluate", "--workspace", trained).out
    for operation in (*OPERATIONS, "all"):
        assert f"\n{operation} " in shown


@pytest.mark.parametrize("name", ["lists", "arrays", "tensors"])
def test_try_answers_alike_in_every_engine(glassbox, trained: str, name: str):
    arguments = ("--workspace", trained, "--json")
    reference = glassbox("digits", "try", "Last(5, 3, 9)", *arguments, "--engine", "scalars").json
    result = glassbox("digits", "try", "Last ( 5 3 9 )", *arguments, "--engine", name).json
    assert result["text"] == "Last ( 5 3 9 )"
    assert result["answer"] == 9
    assert result["words"] == reference["words"]
    [probabilities] = result["probabilities"]
    assert list(probabilities) == [str(digit) for digit in range(10)]
    assert sum(probabilities.values()) == pytest.approx(1)
    assert list(probabilities.values()) == pytest.approx([*reference["probabilities"][0].values()], abs=1e-5)


def test_try_shows_each_word_that_was_written_with_its_probabilities(glassbox, trained: str):
    arguments = ("Max ( 12, 7, 99 )", "--model", "two-digits", "--workspace", trained)
    result = glassbox("digits", "try", *arguments, "--json").json
    assert len(result["words"]) == len(result["probabilities"]) <= 3
    assert all(len(row) == 20 for row in result["probabilities"])
    shown = glassbox("digits", "try", *arguments)
    assert "Max ( 1 2 , 7 , 9 9 ) →" in shown.out
    assert len([line for line in shown.out.splitlines() if "0." in line]) == 5 * len(result["words"])


def test_attention_is_shown_for_each_head_and_its_entropy_for_each_operation(glassbox, trained: str):
    shown = glassbox("digits", "attention", "Max ( 5 3 9 )", "--workspace", trained).out
    for words in ("head 0", "head 3", "layer 1; the answer is read at Max", *OPERATIONS):
        assert words in shown
    assert "layer 0;" in glassbox("digits", "attention", "Max(5 3)", "--layer", "0", "--workspace", trained).out
    both = glassbox("digits", "attention", "--model", "two-digits", "--workspace", trained).out
    assert both.count("the answer is read at )") == 2


def test_attention_as_numbers_adds_up(glassbox, trained: str):
    result = glassbox("digits", "attention", "Min ( 5 3 )", "--workspace", trained, "--json").json
    [one] = result["attention"]
    assert one["tokens"] == ["Min", "(", "5", "3", ")"]
    assert one["answering_row"] == 0
    weights = np.array(one["weights"])
    assert weights.shape == (2, 4, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert all(0 <= result["entropy_by_operation"][operation] <= 1 for operation in OPERATIONS)


def test_step_by_step_shows_a_step_and_waits(glassbox, monkeypatch, own_workspace: Path):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n3\nfoo\n0\nq\n"))
    result = glassbox("digits", "train", "--step-by-step", "--size", "small", "--batch-size", "2")
    assert result.code == 0
    for words in ("step 1 of", "step 2 of", "step 5 of", "loss", "gradient norm", "said", "weights that moved most"):
        assert words in result.out
    assert "step 3 of" not in result.out
    assert "'foo' is neither a number of steps nor q" in result.out
    assert "'0' is neither a number of steps nor q" in result.out
    assert "5 of 15,000 steps were done, and nothing was kept" in result.out
    assert not (own_workspace / "artifacts").exists()


@pytest.mark.parametrize("engine", ["scalars", "lists", "arrays", "tensors"])
def test_step_by_step_ends_with_its_input_in_every_engine(glassbox, monkeypatch, engine: str):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    arguments = ("--task", "two-digit", "--size", "small", "--batch-size", "1", "--engine", engine)
    shown = glassbox("digits", "train", "--step-by-step", *arguments).out
    assert "step 1 of" in shown
    assert "right is" in shown
    assert "[EOS]" in shown


def test_step_by_step_ends_with_the_last_step(glassbox, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("9999999\n"))
    arguments = ("--size", "small", "--batch-size", "500", "--epochs", "1")
    assert "2 of 2 steps were done" in glassbox("digits", "train", "--step-by-step", *arguments).out


def refused(result: Any) -> str:
    assert result.code == 2
    assert "Traceback" not in result.err
    assert "→" in result.err
    return " ".join(result.err.split())


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("Foo ( 1 )", "There is no operation called 'Foo'."),
        ("Max ( )", "There are no numbers in the brackets"),
        ("Second ( 5 )", "Second needs two numbers, and 1 came."),
        ("Max ( 1 2 3 4 5 6 7 )", "There are 7 numbers in the brackets"),
        ("Max ( 12 )", "The number 12 has 2 digits"),
        ("Max", "no operation with numbers"),
    ],
)
@pytest.mark.parametrize("command", ["try", "attention"])
def test_an_expression_that_cannot_be_read_is_answered(glassbox, trained: str, command, expression, complaint):
    assert complaint in refused(glassbox("digits", command, expression, "--workspace", trained))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("train", "--engine", "jax"), "--engine takes one of"),
        (("train", "--step-by-step", "--json"), "--step-by-step is shown to a person"),
        (("train", "--engine", "lists", "--precision", "float32"), "Python's numbers, which are float64"),
        (("evaluate", "--engine", "jax"), "There is no engine called 'jax'."),
        (("evaluate", "--model", "missing"), "There is no model called missing."),
        (("generate", "--task", "three-digit"), "There is no task called 'three-digit'."),
        (("generate", "--size", "huge"), "There is no size called 'huge'."),
        (("attention", "--layer", "2"), "The model has 2 layers, and layer 2 was asked for."),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(glassbox, trained: str, arguments, complaint):
    place = () if arguments[0] == "generate" else ("--workspace", trained)
    assert complaint in refused(glassbox("digits", *arguments, *place))


def test_a_model_of_another_task_is_refused(glassbox, publish):
    publish("model", "shakespeare")
    assert "has not learned the digit task" in refused(glassbox("digits", "evaluate", "--model", "shakespeare"))


def test_a_cell_is_as_bright_as_its_weight_and_carries_its_number():
    drawn = heatmap([[0.0, 1.0], [0.25, 0.75]], ["Max", "("], ["Max", "("], "head 0")
    assert "100" in drawn.plain
    assert drawn.plain.splitlines()[3].split() == ["(", "25", "75"]
    styles = [str(span.style) for span in drawn.spans]
    dark, bright = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in ATTENTION)
    assert any(style.endswith(f"on {dark}") for style in styles)
    assert any(style.endswith(f"on {bright}") for style in styles)
    assert shade(-1, ATTENTION) == shade(0, ATTENTION)
    assert shade(2, ATTENTION) == shade(1, ATTENTION)


def luminance(colour: str) -> float:
    """Of #rrggbb, as WCAG 2.2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("percent", range(101))
def test_every_number_in_a_heatmap_can_be_read(percent: int):
    ink, ground = (luminance(colour) for colour in shade(percent / 100, ATTENTION).split(" on "))
    assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5


def test_a_bar_is_always_as_wide_as_it_was_asked_to_be():
    assert [len(bar(weight, 40).plain) for weight in (0.0, 0.1, 1.0)] == [40, 40, 40]
