"""The search for a batch size, on machines of our making and on this one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.training.batch_size import Trial, find_batch_size, memory_limit

GIGABYTE = 10**9


class Machine:
    """Throughput rises with the batch until it saturates; each window takes memory; too much of it ends the program."""

    def __init__(self, *, saturates_at: int, per_window: int = 1, fixed: int = 0, memory: int = 10**9) -> None:
        self.saturates_at, self.per_window, self.fixed, self.memory = saturates_at, per_window, fixed, memory
        self.tried: list[int] = []

    def __call__(self, size: int) -> Trial:
        self.tried.append(size)
        taken = self.fixed + size * self.per_window
        if taken > self.memory:
            raise torch.OutOfMemoryError("out of memory")
        return Trial(size, 1000.0 * min(size, self.saturates_at), taken)


def test_it_chooses_the_knee_of_the_throughput_and_stops_soon_after_it() -> None:
    machine = Machine(saturates_at=8)
    finding = find_batch_size(machine, memory_limit=GIGABYTE)
    assert finding.batch_size == 8
    assert machine.tried == [1, 2, 4, 8, 16, 32]
    assert finding.reason == "from 8 to 32 windows the throughput no longer grew"


def test_it_never_tries_what_the_windows_before_say_cannot_fit() -> None:
    machine = Machine(saturates_at=10**6, per_window=100, fixed=50, memory=1000)
    finding = find_batch_size(machine, memory_limit=1000)
    assert finding.batch_size == 8
    assert machine.tried == [1, 2, 4, 8]
    assert "16 windows would take about" in finding.reason


def test_a_machine_that_runs_out_of_memory_earlier_than_it_seemed_is_no_disaster() -> None:
    def measure(size: int) -> Trial:
        if size > 4:
            raise torch.OutOfMemoryError("out of memory")
        return Trial(size, float(size), 1)

    finding = find_batch_size(measure, memory_limit=GIGABYTE)
    assert finding.batch_size == 4
    assert finding.reason == "8 windows don't fit into memory"


def test_it_stops_at_the_largest_asked_for() -> None:
    finding = find_batch_size(Machine(saturates_at=10**6), memory_limit=GIGABYTE, largest=12)
    assert [trial.batch_size for trial in finding.trials] == [1, 2, 4, 8]
    assert finding.reason == "12 windows are the most that was asked for"


@pytest.mark.parametrize("memory", [10, 10**9])
def test_a_model_too_large_for_a_single_window_is_refused_with_what_to_change(memory: int) -> None:
    machine = Machine(saturates_at=4, per_window=100, memory=memory)
    with pytest.raises(BadInput, match="Not even one window"):
        find_batch_size(machine, memory_limit=50)


@given(
    saturates_at=st.integers(1, 200),
    per_window=st.integers(0, 50),
    fixed=st.integers(0, 500),
    limit=st.integers(1, 5000),
)
def test_what_it_chooses_fits_and_nothing_that_it_measured_is_much_faster(
    saturates_at: int, per_window: int, fixed: int, limit: int
) -> None:
    machine = Machine(saturates_at=saturates_at, per_window=per_window, fixed=fixed, memory=10**9)
    if fixed + per_window > limit:
        with pytest.raises(BadInput):
            find_batch_size(machine, memory_limit=limit)
        return
    finding = find_batch_size(machine, memory_limit=limit)
    chosen = next(trial for trial in finding.trials if trial.batch_size == finding.batch_size)
    assert chosen.memory <= limit
    assert chosen.tokens_per_second >= 0.95 * max(trial.tokens_per_second for trial in finding.trials)
    # From two measurements on, memory is foretold, and nothing is tried that is known not to fit.
    assert all(size * per_window + fixed <= limit for size in machine.tried if size > 2)


def test_the_limit_is_a_share_of_what_is_free() -> None:
    device = torch.device("cpu")
    assert 0 < memory_limit(device, 0.25) < memory_limit(device, 1.0)
