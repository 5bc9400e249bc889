"""The same step in all engines: that it agrees, that a fault is found and named, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from glassbox.engines.lists import attention
from glassbox.errors import BadInput
from glassbox.evaluation.engines.agreement import compare_step, difference
from glassbox.spec import ModelSpec, preset, weight_shapes

ALL = ("scalars", "lists", "arrays", "tensors")

SPECS = {
    "microgpt": preset("microgpt"),
    "a classifier": preset("digits").replace(width=8, heads=2, hidden_width=12),
    "an encoder of text": ModelSpec(kind="encoder", vocabulary_size=5, context=6, width=8, layers=1, heads=2),
    "a modern decoder": ModelSpec(
        vocabulary_size=7,
        context=6,
        width=8,
        layers=2,
        heads=4,
        key_value_heads=2,
        head_width=4,
        activation="swiglu",
        qk_norm=True,
        window=3,
        attention_bias="all",
    ),
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_all_engines_agree_on(name: str, optimizer: str):
    spec = SPECS[name]
    found = compare_step(spec, ALL, rows=2, length=5, seed=3, optimizer=optimizer, repeats=2)
    assert found["agree"]
    assert found["left_out"] == {}
    assert list(found["engines"]) == ["tensors", "scalars", "lists", "arrays"]
    for engine in found["engines"].values():
        assert engine["loss"] == pytest.approx(found["engines"]["tensors"]["loss"], rel=1e-9)
        for part in ("gradients", "weights"):
            assert list(engine["differences"][part]["each"]) == list(weight_shapes(spec))
        for part in ("forward", "backward", "update", "step"):
            times = engine["seconds"][part]
            assert 0 < times["least"] <= times["lower"] <= times["median"] <= times["upper"]


def test_one_wrong_gradient_is_found_and_named(monkeypatch: pytest.MonkeyPatch):
    right = attention.softmax_backward

    def wrong(*arguments: object) -> object:
        return [slope * 1.000001 for slope in right(*arguments)]

    monkeypatch.setattr(attention, "softmax_backward", wrong)
    found = compare_step(preset("microgpt"), ("lists", "arrays"), rows=1, length=6, repeats=1)
    assert not found["agree"]
    apart = found["engines"]["lists"]["differences"]
    assert apart["loss"]["largest"] <= 1e-9
    assert apart["gradients"]["largest"] > 1e-8
    assert apart["gradients"]["worst"] in ("blocks.0.attention.query", "blocks.0.attention.key")
    assert found["engines"]["arrays"]["differences"]["gradients"]["largest"] <= 1e-9


def test_an_engine_that_would_take_too_long_is_left_out_with_what_it_would_take():
    spec = preset("microgpt").replace(width=512)
    found = compare_step(spec, ALL, rows=1, length=16, repeats=1, longest_step=1.0)
    assert "scalars" not in found["engines"]
    assert "scalars engine about" in found["left_out"]["scalars"]
    assert "of memory; 1 seconds are allowed" in found["left_out"]["scalars"]


def test_a_model_that_no_memory_holds_is_refused_before_it_is_drawn():
    with pytest.raises(BadInput, match="tensors engine about"):
        compare_step(preset("llama3-70b"), ALL, rows=1, length=16, longest_step=1e9)


def test_a_model_that_reads_a_source_is_refused():
    small = preset("digits").replace(kind="encoder-decoder", encoder_layers=1, head="language", classes=0)
    with pytest.raises(BadInput, match="encoder-decoder"):
        compare_step(small, ALL, rows=1, length=4)


def test_a_difference_is_relative_to_the_largest_number_of_its_tensor():
    theirs = {"a": np.array([1.0, -10.0]), "b": np.array([1e-3])}
    ours = {"a": np.array([1.5, -10.0]), "b": np.array([1.1e-3])}
    found = difference(ours, theirs)
    assert found.worst == "b"
    assert found.each == pytest.approx({"a": 0.05, "b": 0.1})
    assert difference(ours, theirs, share_of_largest=0.1).each["b"] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    "ours",
    [{}, {"a": np.zeros(3)}, {"a": np.array([1.0, np.nan])}, {"a": np.ones(2), "b": np.ones(1)}],
    ids=["missing", "of another shape", "not a number", "one too many"],
)
def test_a_difference_in_kind_is_infinite(ours: dict[str, np.ndarray]):
    assert difference(ours, {"a": np.ones(2)}).largest == float("inf")


def test_equal_infinities_and_zeros_are_no_difference():
    same = {"a": np.array([0.0, -np.inf, 2.0]), "b": np.zeros(3)}
    assert difference(same, same).largest == 0
    assert difference({"b": np.full(3, 1e-30)}, {"b": np.zeros(3)}).largest == float("inf")
