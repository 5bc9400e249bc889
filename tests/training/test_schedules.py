"""Schedules: where they begin, how they go, where they end."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.training.schedules import Schedule, Shape

shapes = st.sampled_from(get_args(Shape))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    steps = draw(st.integers(1, 300))
    return Schedule(
        draw(shapes),
        steps,
        draw(st.floats(1e-8, 10)),
        warmup=draw(st.integers(0, steps - 1)),
        floor=draw(st.floats(0, 1)),
        decay=draw(st.floats(0.01, 1)),
    )


@given(schedules())
def test_a_rate_is_positive_until_the_end_and_never_above_the_height(schedule: Schedule) -> None:
    for step in range(schedule.steps):
        assert 0 < schedule(step) <= schedule.learning_rate * (1 + 1e-12)


@given(schedules())
def test_the_warmup_climbs_evenly_to_the_height(schedule: Schedule) -> None:
    rates = [0.0, *(schedule(step) for step in range(schedule.warmup + 1))]
    assert rates[-1] == pytest.approx(schedule.learning_rate)
    for before, after in pairwise(rates):
        assert after - before == pytest.approx(schedule.learning_rate / (schedule.warmup + 1))


@given(schedules())
def test_after_the_warmup_the_rate_never_climbs_and_ends_at_the_floor(schedule: Schedule) -> None:
    for step in range(schedule.warmup, schedule.steps + 3):
        assert schedule(step + 1) <= schedule(step) * (1 + 1e-12)
    floor = 1.0 if schedule.shape == "constant" else schedule.floor
    end = schedule(schedule.steps)
    assert end == pytest.approx(floor * schedule.learning_rate)
    assert schedule(10 * schedule.steps) == end


def test_linear_and_cosine_are_pytorchs() -> None:
    for shape, build in (
        ("linear", lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 50)),
        ("cosine", lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=0.02)),
    ):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
        theirs = build(optimizer)
        ours = Schedule(shape, 50, 0.2, floor=0.1)
        for step in range(50):
            assert ours(step) == pytest.approx(theirs.get_last_lr()[0]), (shape, step)
            optimizer.step()
            theirs.step()


def test_wsd_is_stable_until_its_decay_begins() -> None:
    schedule = Schedule("wsd", 100, 1.0, warmup=10, decay=0.25)
    assert [schedule(step) for step in (10, 40, 74, 75)] == [1.0] * 4
    assert schedule(76) == pytest.approx(24 / 25)
    assert schedule(99) == pytest.approx(1 / 25)


def test_a_decay_longer_than_what_follows_the_warmup_begins_right_after_it() -> None:
    schedule = Schedule("wsd", 10, 1.0, warmup=6, decay=0.9)
    assert [schedule(step) for step in range(6, 10)] == pytest.approx([1, 0.75, 0.5, 0.25])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shape": "wavy"}, "no learning-rate schedule called 'wavy'"),
        ({"steps": 0}, "0 steps"),
        ({"warmup": -1}, "-1 of warm-up"),
        ({"warmup": 10}, "as long as the training"),
        ({"learning_rate": 0.0}, "learning rate is 0"),
        ({"learning_rate": math.nan}, "learning rate is nan"),
        ({"floor": 1.5}, "floor is 1.5"),
        ({"decay": 0.0}, "decay 0"),
    ],
)
def test_numbers_that_leave_no_schedule_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        Schedule(**{"shape": "cosine", "steps": 10, "learning_rate": 0.1, **changes})
