"""The bench, at the smallest sizes; and what it says about its own numbers. No test asserts a time."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.evaluation.engines import bench as bench_module
from glassbox.evaluation.engines import trial as trial_module
from glassbox.evaluation.engines.batches import batch, least_loss
from glassbox.evaluation.engines.bench import Size, bench, crossing, regressions
from glassbox.evaluation.engines.trial import Trial, measure, measured_apart
from glassbox.spec import preset

SMALL = Trial(
    engine="arrays",
    model=preset("microgpt").model_dump(mode="json", exclude_unset=True),
    rows=2,
    length=6,
    seed=1,
    threads=1,
    seconds=0.2,
    more_rows=(3,),
)


@pytest.fixture(scope="module")
def small_bench() -> dict[str, Any]:
    """One for all tests of this file: every trial is a process that starts."""
    sizes = [Size(1, 16), Size(1, 8)]
    return bench(
        sizes, ("lists", "arrays", "tensors"), rows=1, length=6, more_rows=[2], steps=3, seed=0, threads=1, seconds=5
    )


def test_every_engine_learns_alike_at_every_size(small_bench: dict[str, Any]):
    assert list(small_bench["sizes"]) == ["1x8", "1x16"]
    for size in small_bench["sizes"]:
        losses = [small_bench["engines"][engine][size]["losses"] for engine in ("lists", "arrays", "tensors")]
        for first, *others in zip(*(each[:5] for each in losses), strict=True):
            assert others == pytest.approx([first] * 2, rel=1e-4)  # float64 beside float32
        after = [small_bench["engines"][engine][size]["loss_after_steps"] for engine in small_bench["engines"]]
        assert after == [each[2] for each in losses]


def test_a_bench_tells_what_each_engine_took(small_bench: dict[str, Any]):
    for engine, sizes in small_bench["engines"].items():
        assert small_bench["left_out"][engine] == {}
        assert small_bench["exponents"][engine]["seconds"] is not None
        for measured in sizes.values():
            assert measured["tokens_per_second"] > 0
            assert measured["peak_bytes"] >= 0
            assert list(measured["by_rows"]) == ([] if engine == "lists" else ["2"])
    assert 0 <= small_bench["others_busy"] <= 1
    assert all(code["lines"] > 100 for code in small_bench["code"].values())
    json.dumps(small_bench, allow_nan=False)


def test_a_bench_looks_for_crossings_over_sizes_and_over_batches(small_bench: dict[str, Any]):
    found = [(one["faster"], one["than"], one["over"], one["at"]) for one in small_bench["crossings"]]
    assert found == [
        ("tensors", "arrays", "parameters", "batch 1"),
        ("tensors", "arrays", "batch", "1x8"),
        ("tensors", "arrays", "batch", "1x16"),
    ]


def test_a_size_that_would_take_too_long_is_left_out_with_what_it_would_take():
    found = bench(
        [Size(1, 8), Size(8, 1024)], ("lists",), rows=1, length=4, more_rows=(), steps=2, seed=0, threads=1, seconds=0.4
    )
    assert list(found["engines"]["lists"]) == ["1x8"]
    assert "by 1x8's" in found["left_out"]["lists"]["8x1024"]


def test_a_size_that_no_memory_holds_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_module, "available_memory", lambda: 1)
    found = bench(
        [Size(1, 8), Size(1, 12)], ("lists",), rows=1, length=4, more_rows=(), steps=2, seed=0, threads=1, seconds=4
    )
    assert "are free" in found["left_out"]["lists"]["1x12"]


def test_a_bench_that_is_stopped_says_what_it_left_out():
    found = bench(
        [Size(1, 8)],
        ("lists",),
        rows=1,
        length=4,
        more_rows=(),
        steps=2,
        seed=0,
        threads=1,
        seconds=1,
        stop_requested=lambda: True,
    )
    assert "stopped" in found["left_out"]["lists"]["1x8"]
    assert found["engines"] == {"lists": {}}


def test_a_trial_measures_in_this_process_what_it_measures_apart():
    here = measure(SMALL)
    apart = measured_apart(SMALL)
    assert isinstance(apart, dict)
    assert here.keys() == apart.keys()
    assert here["losses"][:3] == apart["losses"][:3]
    assert here["losses"][-1] < here["losses"][0]
    assert list(here["by_rows"]) == [3]


def test_a_trial_that_an_engine_refuses_gives_its_sentence():
    refused = replace(SMALL, model=SMALL.model | {"kind": "encoder-decoder", "encoder_layers": 1})
    said = measured_apart(refused)
    assert isinstance(said, str)
    assert "no source, which an encoder-decoder reads" in said


def test_a_trial_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trial_module, "STARTING", 0.0)
    said = measured_apart(replace(SMALL, seconds=0.01))
    assert isinstance(said, str)
    assert "longer than" in said


@pytest.mark.parametrize("text", ["", "4", "x16", "4x", "0x16", "4x0", "4x18", "4×16", "-1x16", "1x16x2", "ax16"])
def test_a_size_is_refused_unless_it_is_layers_and_width(text: str):
    with pytest.raises(BadInput):
        Size.parse(text)


def test_a_size_is_layers_and_width():
    assert Size.parse("4x128") == Size(4, 128)
    assert Size(4, 128).name == "4x128"
    assert Size(1, 16).spec(8).context == 8


def test_a_crossing_lies_between_two_points_in_logarithms():
    assert crossing([(10, 4.0), (1_000, 0.25)]) == pytest.approx(100)
    assert crossing([(10, 4.0), (1_000, 1.5)]) is None
    assert crossing([(10, 0.9), (1_000, 0.5)]) == 10
    assert crossing([(10, 0.9), (100, 2.0), (1_000, 0.5)]) == pytest.approx(100 * 10**0.5)
    assert crossing([]) is None


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_after_a_crossing_the_ratio_stays_below_one(ratios: list[float]):
    points = [(10.0**place, ratio) for place, ratio in enumerate(ratios)]
    found = crossing(points)
    assert (found is None) == (ratios[-1] >= 1)
    if found is not None:
        assert all(ratio < 1 for size, ratio in points if size > found)


def test_only_what_grew_beyond_the_spread_is_a_regression(small_bench: dict[str, Any]):
    assert regressions(small_bench, small_bench) == []
    slower = copy.deepcopy(small_bench)
    step = slower["engines"]["arrays"]["1x8"]["seconds"]["step"]
    for number in step:
        step[number] *= 100
    slower["engines"]["lists"]["1x16"]["peak_bytes"] += 1 << 26
    found = {(one["engine"], one["size"], one["what"]) for one in regressions(small_bench, slower)}
    assert found == {("arrays", "1x8", "step_seconds"), ("lists", "1x16", "peak_bytes")}
    assert regressions(slower, small_bench) == []
    busy = copy.deepcopy(small_bench)
    busy["engines"]["arrays"]["1x8"]["seconds"]["step"]["median"] *= 100  # the fastest and the quartiles didn't move
    assert regressions(small_bench, busy) == []
    assert regressions(small_bench, slower | {"batch": 2}) == []


def test_batches_are_a_function_of_seed_and_step_and_can_be_learned():
    spec = preset("microgpt")
    tokens, targets = batch(spec, 3, 5, seed=1, step=2)
    assert (tokens, targets) == batch(spec, 3, 5, seed=1, step=2)
    assert tokens != batch(spec, 3, 5, seed=1, step=3)[0]
    for row, wanted in zip(tokens, targets, strict=True):
        assert row[1:] == wanted[:-1]
        assert all((after - 3 * token - 1) % 27 in (0, 1, 2) for token, after in zip(row, wanted, strict=True))
    assert least_loss(spec) == pytest.approx(1.0986, abs=1e-4)
    assert least_loss(preset("digits")) == 0
    tokens, classes = batch(preset("digits"), 4, 5, seed=1, step=2)
    assert classes == [row[0] % 10 for row in tokens]
