"""The same model trained in several engines at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from glassbox.engines.catalogue import engine
from glassbox.engines.initialization import initial_weights
from glassbox.engines.lists import attention
from glassbox.errors import BadInput
from glassbox.evaluation.engines import training
from glassbox.evaluation.engines.batches import batch, engine_batch
from glassbox.evaluation.engines.cost import Cost
from glassbox.evaluation.engines.training import farthest_apart, train_side_by_side
from glassbox.spec import preset

SPEC = preset("microgpt").replace(width=8, heads=2)
SIZES: dict[str, Any] = {"rows": 2, "length": 4, "steps": 6, "learning_rate": 0.01}


def test_each_curve_is_what_the_engine_gives_when_it_trains_alone() -> None:
    found = train_side_by_side(SPEC, ("scalars", "lists", "arrays", "tensors"), **SIZES)
    for name, losses in found["losses"].items():
        alone = engine(name).transformer(SPEC, weights=initial_weights(SPEC, 0), precision="float64")
        optimizer = engine(name).optimizer("adam", alone, 0.01)
        drawn = [engine_batch(alone, batch(SPEC, 2, 4, 0, step)) for step in range(6)]
        assert losses == [alone.train_step(tokens, targets, optimizer) for tokens, targets in drawn]
        assert found["seconds"][name]["repeats"] == 6
    assert found["same"]
    assert found["farthest_apart"]["relative"] < 1e-12


def test_every_step_is_told_when_all_engines_have_done_it() -> None:
    told: list[tuple[int, Mapping[str, float]]] = []
    found = train_side_by_side(
        SPEC, ("arrays", "tensors"), **SIZES, step_done=lambda done, losses: told.append((done, dict(losses)))
    )
    assert [done for done, _ in told] == [1, 2, 3, 4, 5, 6]
    assert [losses["arrays"] for _, losses in told] == found["losses"]["arrays"]
    assert told[-1][1].keys() == {"arrays", "tensors"}


def test_an_engine_whose_backward_is_wrong_is_seen_to_part(monkeypatch: pytest.MonkeyPatch) -> None:
    right = attention.softmax_backward
    monkeypatch.setattr(attention, "softmax_backward", lambda *given: [2 * slope for slope in right(*given)])
    found = train_side_by_side(SPEC, ("lists", "arrays", "tensors"), **SIZES)
    assert not found["same"]
    assert "lists" in found["farthest_apart"]["between"]
    assert found["farthest_apart"]["step"] > 1  # before the first update even a wrong gradient changes no loss


def test_it_stops_after_the_step_that_it_is_in() -> None:
    done: list[int] = []
    found = train_side_by_side(
        SPEC,
        ("arrays",),
        **SIZES,
        step_done=lambda steps, losses: done.append(steps),
        stop_requested=lambda: len(done) == 2,
    )
    assert found["steps"] == len(found["losses"]["arrays"]) == 2


def test_an_engine_that_would_take_too_long_is_left_out_and_if_none_is_left_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = {"scalars": Cost(seconds=10.0, bytes=0), "arrays": Cost(seconds=0.01, bytes=0)}
    monkeypatch.setattr(training, "predicted_cost", lambda name, *sizes: costs[name])
    found = train_side_by_side(SPEC, ("scalars", "arrays"), **SIZES, longest_step=1.0)
    assert found["losses"].keys() == {"arrays"}
    assert "scalars engine about 10 seconds" in found["left_out"]["scalars"]
    with pytest.raises(BadInput, match="No engine is left"):
        train_side_by_side(SPEC, ("scalars",), **SIZES, longest_step=1.0)


def test_the_distance_is_the_largest_of_all_steps_and_pairs() -> None:
    found = farthest_apart({"a": [1.0, 2.0, 4.0], "b": [1.0, 1.0, 4.0], "c": [1.0, 1.5, 3.0]})
    assert (found.largest, found.step, found.between) == (0.5, 2, ("b", "a"))
    assert farthest_apart({"a": [1.0], "b": [1.0]}).between is None
    assert farthest_apart({"a": []}).largest == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_infinitely_far_from_one_that_is(bad: float) -> None:
    assert farthest_apart({"a": [1.0, 1.0], "b": [1.0, bad]}).largest == math.inf
    assert farthest_apart({"a": [1.0, bad], "b": [1.0, bad]}).largest == 0
