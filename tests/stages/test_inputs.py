"""Inputs that nobody named are chosen sensibly, and said aloud."""

from __future__ import annotations

import pytest

from glassbox.errors import BadInput
from glassbox.stages.inputs import resolve_inputs
from glassbox.stages.interface import Slot, Stage, StageSettings

EVALUATE = Stage(
    settings=StageSettings,
    run=lambda settings, context: {},
    takes={
        "model": Slot("model", "the model to measure"),
        "shards": Slot("shards", "the text to predict"),
        "extra": Slot("corpus", "more text", required=False),
    },
)


def publish(workspace, kind, name, parents=()):
    with workspace.artifacts.draft(kind, name, parents=parents) as draft:
        (draft.folder / "text.txt").write_text("text")
    return draft.artifact


def test_what_a_person_named_is_taken(workspace):
    old, _ = publish(workspace, "model", "plays"), publish(workspace, "model", "plays")
    shards = publish(workspace, "shards", "plays")
    corpus = publish(workspace, "corpus", "plays")
    inputs = resolve_inputs(EVALUATE, workspace.artifacts, {"model": "plays:1", "shards": "plays", "extra": "plays"})
    assert inputs.artifacts == {"model": old, "shards": shards, "extra": corpus}
    assert inputs.choices == ()


def test_what_the_model_was_made_from_comes_before_the_newest(workspace):
    first = publish(workspace, "shards", "plays")
    checkpoint = publish(workspace, "model", "base", parents=[first])
    tuned = publish(workspace, "model", "tuned", parents=[checkpoint])
    newest = publish(workspace, "shards", "poems")
    inputs = resolve_inputs(EVALUATE, workspace.artifacts, {})
    assert inputs.artifacts == {"model": tuned, "shards": first}
    assert inputs.choices == (
        "model: tuned:1, the newest model",
        "shards: plays:1, which the model tuned:1 was made from",
    )
    lonely = publish(workspace, "model", "lonely")
    assert resolve_inputs(EVALUATE, workspace.artifacts, {"model": lonely.reference}).artifacts["shards"] == newest


def test_an_optional_input_stays_empty(workspace):
    publish(workspace, "model", "plays")
    publish(workspace, "shards", "plays")
    publish(workspace, "corpus", "plays")
    assert "extra" not in resolve_inputs(EVALUATE, workspace.artifacts, {}).artifacts


def test_without_any_the_person_learns_what_makes_one(workspace):
    publish(workspace, "model", "plays")
    with pytest.raises(BadInput, match="needs the text to predict") as caught:
        resolve_inputs(EVALUATE, workspace.artifacts, {})
    assert caught.value.remedy == "Make one first: glassbox tokenize."


@pytest.mark.parametrize("given", [{"model": "nothing"}, {"model": "../x"}, {"model": ""}, {"corpus": "plays"}])
def test_what_cannot_be_taken_is_refused(workspace, given):
    publish(workspace, "model", "plays")
    with pytest.raises(BadInput):
        resolve_inputs(EVALUATE, workspace.artifacts, given)
