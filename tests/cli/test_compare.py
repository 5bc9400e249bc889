"""`glassbox compare`, as a person and as a script meet it."""

from __future__ import annotations

import json

import pytest

from glassbox.cli.compare import commands  # noqa: F401  (imported once, so that no test pays for it)
from glassbox.engines.lists import attention
from glassbox.spec import preset

TINY = ("--engines", "lists", "--engines", "arrays", "--length", "4", "--repeats", "1")
TINY_BENCH = (*TINY, "--bench", "--sizes", "1x8", "--sizes", "1x16", "--steps", "2", "--minutes", "0.05")


def test_engines_shows_every_engine_and_the_verdict(glassbox):
    shown = glassbox("compare", "engines", *TINY)
    assert shown.code == 0
    for word in ("tensors", "lists", "arrays", "logits", "gradients", "worst tensor", "All within 1e-09", "engines:1"):
        assert word in shown.out
    assert "scalars" not in shown.out


def test_engines_gives_a_script_every_number(glassbox):
    found = glassbox("compare", "engines", *TINY, "--json").json
    assert found["step"]["agree"] is True
    assert found["outputs"] == {"report": "engines:1"}
    each = found["step"]["engines"]["arrays"]["differences"]["gradients"]["each"]
    assert len(each) == 9
    assert max(each.values()) < 1e-9


def test_engines_that_disagree_end_with_exit_code_one(glassbox, monkeypatch: pytest.MonkeyPatch):
    right = attention.softmax_backward
    monkeypatch.setattr(attention, "softmax_backward", lambda *given: [2 * slope for slope in right(*given)])
    shown = glassbox("compare", "engines", *TINY)
    assert shown.code == 1
    assert "NOT all within" in shown.out


@pytest.mark.slow
def test_a_bench_shows_heatmaps_growth_crossings_code_and_what_changed(glassbox):
    first = glassbox("compare", "engines", *TINY_BENCH, "--engines", "tensors")
    assert first.code == 0, first.err
    for word in (
        "Seconds of a training step",
        "Peak memory",
        "1x16 (4,000)",
        "FLOPs^",
        "tensors against arrays at batch 1",
        "lines / complexity",
        "No earlier bench",
    ):
        assert word in first.out
    second = glassbox("compare", "engines", *TINY_BENCH, "--engines", "tensors")
    assert "Since engines:1, on this machine" in second.out


def test_a_description_in_a_file_is_compared_too(glassbox, tmp_path):
    file = tmp_path / "spec.json"
    preset("digits").replace(width=8, heads=2, hidden_width=8).save(file)
    found = glassbox("compare", "engines", *TINY, "--spec", str(file), "--json").json
    assert found["step"]["model"]["head"] == "classes"
    assert found["step"]["agree"] is True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--spec", "microgtp"), "microgpt"),
        (("--length", "17"), "16"),
        (("--sizes", "4by128"), "LAYERSxWIDTH"),
        (("--engines", "tensor"), "tensors"),
        (("--repeats", "0"), "--repeats"),
        (("--more-batches", "0"), "batch"),
        (("--previous", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_compared_ends_with_two_sentences(glassbox, options, said):
    shown = glassbox("compare", "engines", *options)
    assert shown.code == 2
    assert shown.out == ""
    assert said in " ".join(shown.err.split())


def test_code_shows_the_same_component_of_every_engine(glassbox):
    shown = glassbox("compare", "code", "normalization")
    assert shown.code == 0
    assert "class Norm(nn.Module):" in shown.out
    assert "n = x / sqrt(mean(x^2) + epsilon)" in shown.out
    for name in ("scalars", "lists", "arrays", "tensors"):
        assert f"glassbox/engines/{name}/normalization.py" in shown.out
    only = glassbox("compare", "code", "normalization", "--engine", "scalars").out
    assert "nn.Module" not in only
    assert "class Norm" in only


def test_code_gives_a_viewer_source_lines_and_names(glassbox):
    shown = glassbox("compare", "code", "attention", "--engine", "lists", "--engine", "arrays", "--json")
    found = json.loads(shown.out)
    assert list(found["engines"]) == ["lists", "arrays"]
    row = next(row for row in found["rows"] if row["name"] == "Attention.forward")
    unit = row["units"]["arrays"]
    lines = found["engines"]["arrays"]["source"].splitlines()
    assert unit["source"].splitlines()[0] == lines[unit["line"] - 1]
    assert found["levels"]["arrays"]["hides"]


def test_code_of_what_there_isnt_ends_with_a_hint(glassbox):
    shown = glassbox("compare", "code", "atention")
    assert shown.code == 2
    assert "attention" in shown.err
    assert glassbox("compare", "code", "attention", "--engine", "torch").code == 2


def test_training_shows_each_engine_and_says_that_the_curves_are_one(glassbox):
    shown = glassbox(
        "compare", "training", "--engines", "lists", "--engines", "arrays", "--length", "4", "--steps", "4"
    )
    assert shown.code == 0
    for words in ("lists", "arrays", "last loss", "on one another", "training:1"):
        assert words in shown.out
    assert "scalars" not in shown.out
    plotted = glassbox("runs", "plot", "--json").json
    assert [step for step, _ in plotted["metrics"]["lists_loss"]] == [1, 2, 3, 4]


def test_training_whose_curves_part_ends_with_exit_code_one(glassbox, monkeypatch: pytest.MonkeyPatch):
    right = attention.softmax_backward
    monkeypatch.setattr(attention, "softmax_backward", lambda *given: [2 * slope for slope in right(*given)])
    shown = glassbox("compare", "training", "--engines", "lists", "--engines", "arrays", "--steps", "4")
    assert shown.code == 1
    assert "The curves part" in shown.out
    assert "lists and arrays" in shown.out or "arrays and lists" in shown.out


def test_training_gives_a_script_every_loss(glassbox):
    found = glassbox("compare", "training", "--engines", "arrays", "--steps", "3", "--json").json
    assert len(found["losses"]["arrays"]) == found["steps"] == 3
    assert found["outputs"] == {"report": "training:1"}


def test_training_that_diverges_in_one_engine_says_which(glassbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attention, "softmax_backward", lambda *given: [float("nan") for _ in given[0]])
    shown = glassbox("compare", "training", "--engines", "arrays", "--engines", "lists", "--steps", "3")
    assert shown.code == 1
    assert "the loss of arrays is a number at step 2, that of lists is none" in " ".join(shown.out.split())


def test_the_stage_by_its_own_name_shows_the_same(glassbox):
    options = ("--engines", "arrays", "--engines", "tensors", "--steps", "2")
    assert "on one another" in glassbox("compare-training", *options).out
    assert "compare-training" not in glassbox("--help").out
