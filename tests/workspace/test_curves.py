"""The metrics of a run as curves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from glassbox.errors import BadInput
from glassbox.workspace.curves import Curve, GrowingCurves, LongCurve, curves, thinned
from glassbox.workspace.events import EventLog, read_events


def as_lists(growing: GrowingCurves) -> dict[str, Curve]:
    return {name: list(curve) for name, curve in growing.update().items()}


numbers = some.floats(allow_nan=False, width=32)


@given(some.lists(numbers, min_size=0, max_size=300), some.integers(4, 60))
def test_a_thinned_curve_keeps_its_ends_its_extremes_and_its_order(values: list[float], points: int):
    curve = list(enumerate(values))
    shown = thinned(curve, points)
    assert len(shown) <= max(points, 0) or shown == curve
    assert shown == sorted(shown)
    assert set(shown) <= set(curve)
    if curve:
        assert (shown[0], shown[-1]) == (curve[0], curve[-1])
        for extreme in (min, max):
            assert extreme(value for _, value in shown) == extreme(values)


@given(some.lists(some.tuples(some.integers(0, 30), numbers), max_size=60), some.integers(0, 60))
def test_a_growing_file_gives_the_same_curves_as_one_that_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, float]], first_part: int
):
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    growing = GrowingCurves(path)
    log = EventLog(path, 1)
    for place, (step, value) in enumerate(told):
        if place == first_part:
            growing.update()
        log.append("metrics", step=step, values={"loss": value, f"metric {step % 2}": step})
        log.append("log", message='not one: "kind":"metrics"')
    log.close()
    assert as_lists(growing) == curves(read_events(path))
    assert growing.points == sum(map(len, curves(read_events(path)).values()))


@given(some.lists(numbers, max_size=50), some.integers(0, 60), some.integers(0, 60))
def test_a_part_of_a_curve_has_the_steps_between_its_bounds(values: list[float], first: int, last: int):
    curve = LongCurve(range(len(values)), values)
    assert list(curve.between(first, last)) == [point for point in enumerate(values) if first <= point[0] <= last]
    assert list(curve.between(None, None)) == curve[:] == list(curve)
    assert thinned(curve, 8) == thinned(list(curve), 8)


def test_what_is_no_number_is_told_as_such(tmp_path: Path):
    log = EventLog(tmp_path / "events.jsonl", 1)
    log.append("metrics", step=1, values={"loss": math.nan})
    log.append("metrics", step=2, values={"loss": -math.inf})
    log.close()
    curve = GrowingCurves(tmp_path / "events.jsonl").update()["loss"]
    assert math.isnan(curve[0][1])
    assert curve[1] == (2, -math.inf)


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    growing = GrowingCurves(path)
    assert growing.update() == {}
    line = json.dumps(
        {"sequence": 0, "time": 1, "attempt": 1, "kind": "metrics", "step": 1, "values": {"loss": 2.5}},
        separators=(",", ":"),
    )
    path.write_text(line[:40])
    assert growing.update() == {}
    path.write_text(line + "\n")
    assert as_lists(growing) == {"loss": [(1, 2.5)]}


@pytest.mark.parametrize("at_once", [1, 100, 300])
def test_a_file_may_be_read_in_parts_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int):
    path = tmp_path / "events.jsonl"
    log = EventLog(path, 1)
    for step in [*range(50), *range(30, 60)]:  # resumed at 30
        log.append(
            "metrics", step=step, values={"loss": 1 / (1 + step), **({"validation_loss": step} if step % 7 else {})}
        )
        log.append("text", name="sample", content="long " * (step % 50))
    log.close()
    monkeypatch.setattr("glassbox.workspace.curves._AT_ONCE", at_once)
    assert as_lists(GrowingCurves(path)) == curves(read_events(path))


@pytest.mark.parametrize(
    "rest",
    [
        '"step":}',
        '"step":1,"values":{"loss":}}',
        '"step":1,"values":{"loss":null}}',
        '"step":1,"values":[1]}',
        '"step":1,"values":{"loss":1}}, {"loss":2}}',
        '"step":1,"values":{"loss":1}} and more',
        '"step":99999999999999999999,"values":{"loss":1}}',
        '"values":{"loss":1},"step":1}',
    ],
)
def test_a_damaged_line_names_its_file_until_it_is_mended(tmp_path: Path, rest: str):
    path = tmp_path / "events.jsonl"
    head = '{"sequence":0,"time":1.5,"attempt":1,"kind":"metrics",'
    path.write_text(f"{head}{rest}\n")
    growing = GrowingCurves(path)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"events\.jsonl is damaged"):
            growing.update()
    path.write_text(head + '"step":1,"values":{"loss":2.5}}\n')
    assert as_lists(growing) == {"loss": [(1, 2.5)]}
