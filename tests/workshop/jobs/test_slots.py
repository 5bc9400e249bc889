"""Who may start, on what, and what the others wait for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.workshop.jobs.slots import Holding, InLine, Slots, Takes, allot, gpu_numbers, machine_memory

GB = 10**9
MACHINE = Slots(threads=4, memory=8 * GB, gpus=(0, 1))

takes = st.builds(Takes, st.integers(1, 4), st.integers(1, 8).map(lambda some: some * GB), st.integers(0, 2))
lines = st.lists(takes, max_size=8).map(lambda all_: [InLine(f"run-{number}", one) for number, one in enumerate(all_)])


def holdings_of(line: list[InLine], starts: dict[str, tuple[int, ...]]) -> list[Holding]:
    return [Holding(one.takes, starts[one.run]) for one in line if one.run in starts]


def fits_in(holdings: list[Holding], slots: Slots) -> bool:
    used = [gpu for one in holdings for gpu in one.gpus]
    return (
        sum(one.takes.threads for one in holdings if not one.parked) <= slots.threads
        and sum(one.takes.memory for one in holdings) <= slots.memory
        and len(used) == len(set(used))
        and set(used) <= set(slots.gpus)
    )


@given(lines, lines)
def test_nothing_is_given_away_twice(earlier: list[InLine], line: list[InLine]):
    held = holdings_of(earlier, allot(MACHINE, [], earlier).starts)
    starts = allot(MACHINE, held, line).starts
    assert fits_in(held + holdings_of(line, starts), MACHINE)
    assert all(len(starts[one.run]) == one.takes.gpus for one in line if one.run in starts)


@given(lines)
def test_everyone_in_line_starts_or_is_told_what_for_they_wait(line: list[InLine]):
    outcome = allot(MACHINE, [], line)
    assert outcome.starts.keys() | outcome.waits.keys() == {one.run for one in line}
    assert not outcome.starts.keys() & outcome.waits.keys()
    assert all(reason.startswith("It waits for ") for reason in outcome.waits.values())


@given(lines, st.integers(0, 7))
def test_what_stands_behind_a_run_never_keeps_it_waiting(line: list[InLine], place: int):
    """Whether and with which GPUs it starts depends on those before it alone."""
    some = line[: place + 1]
    with_others, alone = allot(MACHINE, [], line), allot(MACHINE, [], some)
    assert all(with_others.starts.get(one.run) == alone.starts.get(one.run) for one in some)


@given(lines)
def test_every_run_has_its_turn_however_large_it_is(line: list[InLine]):
    """Small runs come in behind for ever; each round one of those at work ends, the oldest first."""
    held: list[tuple[InLine, tuple[int, ...]]] = []
    waiting = list(line)
    for turn in range(6 * len(line) + 6):
        queue = [*waiting, InLine(f"small-{turn}", Takes(1, GB))]
        starts = allot(MACHINE, [Holding(one.takes, gpus) for one, gpus in held], queue).starts
        held += [(one, starts[one.run]) for one in queue if one.run in starts]
        waiting = [one for one in waiting if one.run not in starts]
        held = held[1:]
        if not waiting:
            return
    pytest.fail(f"{waiting} never had a turn")


def test_a_small_run_fills_what_a_large_one_has_no_use_for():
    busy = [Holding(Takes(1, GB, 2), (0, 1))]
    large, small = InLine("large", Takes(2, 4 * GB, 1)), InLine("small", Takes(1, GB))
    outcome = allot(MACHINE, busy, [large, small])
    assert outcome.starts == {"small": ()}
    assert outcome.waits == {"large": "It waits for 1 GPU (0 free)."}


def test_a_small_run_does_not_take_what_a_large_one_waits_for():
    busy = [Holding(Takes(2, GB))]
    large, small = InLine("large", Takes(4, GB)), InLine("small", Takes(1, GB))
    outcome = allot(MACHINE, busy, [large, small])
    assert outcome.starts == {}
    assert outcome.waits["large"] == "It waits for 4 CPU threads (2 free)."
    assert outcome.waits["small"] == "It waits for 1 CPU thread (0 free); large is ahead of it."


def test_a_paused_run_keeps_its_memory_and_gives_its_threads():
    paused = Holding(Takes(4, 6 * GB), parked=True)
    outcome = allot(MACHINE, [paused], [InLine("one", Takes(4, 2 * GB)), InLine("two", Takes(1, GB))])
    assert list(outcome.starts) == ["one"]
    assert outcome.waits["two"] == "It waits for 1 CPU thread (0 free) and 1,000 MB of memory (0 MB free)."


def test_gpus_are_given_by_their_numbers():
    slots = Slots(4, 8 * GB, (2, 5, 7))
    outcome = allot(slots, [Holding(Takes(1, GB, 1), (5,))], [InLine("one", Takes(1, GB, 2))])
    assert outcome.starts == {"one": (2, 7)}


@given(takes, takes)
def test_a_run_that_fits_the_empty_machine_is_accepted_and_another_is_refused(asked: Takes, has: Takes):
    slots = Slots(has.threads, has.memory, tuple(range(has.gpus)))
    fits = bool(allot(slots, [], [InLine("run", asked)]).starts)
    if fits:
        slots.check_fits(asked)
    else:
        with pytest.raises(BadInput, match="could never start"):
            slots.check_fits(asked)


def test_the_gpus_that_this_process_may_use_are_counted_as_it_sees_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_numbers(2) == (0, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5,6")
    assert gpu_numbers(2) == (3, 5)
    for visible in ("3", "GPU-8932f937,GPU-1", ""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        with pytest.raises(BadInput, match="2 GPUs"):
            gpu_numbers(2)
    assert gpu_numbers(0) == ()


def test_memory_is_what_the_machine_has():
    assert 2**28 < machine_memory() < 2**60
