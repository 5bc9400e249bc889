"""From seconds to steps, and how often to do what."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import SPEC, make_step

from glassbox.data.batches import Batches
from glassbox.data.shards import Shards
from glassbox.errors import BadInput
from glassbox.training.loop import Plan
from glassbox.training.planning import Pace, decide, measure, seconds_per_call, timed
from glassbox.training.validation import Validation

SECONDS = st.floats(0.001, 50)
PACES = st.builds(Pace, step=SECONDS, evaluation=SECONDS, full_validation=SECONDS, sample=SECONDS, checkpoint=SECONDS)
INTERVALS = st.none() | st.integers(0, 200)


@given(PACES, st.floats(1, 10_000), INTERVALS, INTERVALS, INTERVALS)
def test_what_is_decided_fits_into_the_time_and_hardly_more_would(
    pace: Pace, budget: float, evaluate: int | None, sample: int | None, checkpoint: int | None
) -> None:
    given_intervals = {"evaluate_every": evaluate, "sample_every": sample, "checkpoint_every": checkpoint}
    try:
        plan = decide(pace, seconds=budget, **given_intervals)
    except BadInput as error:
        assert "Not one training step fits" in error.problem
        return
    assert pace.predict(plan) <= budget * (1 + 1e-9)
    for name, every in given_intervals.items():
        assert every is None or getattr(plan, name) == every
    unused = budget - pace.predict(plan)
    one_more = pace.step + sum(cost for cost in (pace.evaluation, pace.sample, pace.checkpoint))
    rounding = 20 * pace.evaluation + 5 * pace.sample + (budget / 60 + 1) * pace.checkpoint
    assert unused <= one_more + rounding + 1e-6


@given(PACES, st.integers(1, 100_000))
def test_a_given_number_of_steps_is_kept_and_everything_happens_at_least_once(pace: Pace, steps: int) -> None:
    plan = decide(pace, steps=steps)
    assert plan.steps == steps
    assert all(1 <= every <= steps for every in (plan.log_every, plan.evaluate_every, plan.sample_every))
    assert math.ceil(steps / plan.evaluate_every) <= 20
    assert steps // plan.log_every >= min(steps, 50)


def test_checkpoints_come_about_once_a_minute() -> None:
    assert decide(Pace(step=0.1), steps=6000).checkpoint_every == 600


def test_a_prediction_counts_every_occasion() -> None:
    pace = Pace(step=1, evaluation=10, full_validation=100, sample=1000, checkpoint=10_000)
    plan = Plan(10, evaluate_every=3, sample_every=0, checkpoint_every=5)
    assert pace.predict(plan) == 10 * 1 + 4 * 10 + 100 + 2 * 10_000


def test_a_budget_too_small_for_one_step_says_what_takes_how_long() -> None:
    with pytest.raises(BadInput, match="Not one training step fits into the 1 seconds left: it takes 2 s"):
        decide(Pace(2.0), seconds=1.0)


def test_measuring_leaves_the_first_call_out_and_makes_a_few_at_least() -> None:
    numbers: list[int] = []
    seconds_per_call(numbers.append, torch.device("cpu"), seconds=0.0)
    assert numbers == [0, 1, 2, 3]


def test_measuring_goes_on_for_the_time_given(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def call(number: int) -> None:
        clock[0] += 10.0 if number == 0 else 0.5  # compiling, then working

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert seconds_per_call(call, torch.device("cpu"), seconds=4.0) == 0.5
    assert timed(lambda: call(1), torch.device("cpu")) == 0.5


def test_a_machine_is_measured_by_doing_each_thing(shards: Shards, batches: Batches, tmp_path: Path) -> None:
    validation = Validation(shards.split("validation"), SPEC.context, 8, 128, torch.device("cpu"))
    sampled: list[int] = []
    pace = measure(make_step(), batches, validation, lambda: sampled.append(1), tmp_path / "scratch", 0.05)
    assert min(pace.step, pace.evaluation, pace.checkpoint) > 0
    assert pace.full_validation == pytest.approx(pace.evaluation * 480 / 128)
    assert sampled == [1]
    assert list(tmp_path.iterdir()) == []
