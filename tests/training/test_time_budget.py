"""From seconds to steps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.training.time_budget import Pace, seconds_per_call, timed

SECONDS = st.floats(0.001, 100)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.floats(1, 10_000), st.integers(0, 20), st.integers(0, 20))
def test_the_steps_chosen_fit_and_one_more_would_not(
    step: float, evaluation: float, full: float, checkpoint: float, budget: float, evaluations: int, checkpoints: int
) -> None:
    pace = Pace(step, evaluation, full, checkpoint)
    try:
        steps = pace.steps_within(budget, evaluations, checkpoints)
    except BadInput:
        assert pace.predict(1, evaluations, checkpoints) > budget * (1 - 1e-9)
        return
    assert pace.predict(steps, evaluations, checkpoints) <= budget * (1 + 1e-9)
    assert pace.predict(steps + 1, evaluations, checkpoints) > budget * (1 - 1e-9)


def test_a_budget_too_small_for_one_step_says_what_takes_how_long() -> None:
    with pytest.raises(BadInput, match="Not one training step fits into the 1 seconds left: it takes 2 s"):
        Pace(2.0).steps_within(1.0, 0, 0)


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
