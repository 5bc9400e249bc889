"""A deployment is kept served: started, watched, started again, replaced, and let sleep."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import PATIENCE, until

from glassbox.workshop.gateway.keeper import Condition, Keeper, NotServed, State
from glassbox.workshop.gateway.target import Patience, Target

QUICK = Patience(
    start=3, look=0.05, looks=3, answer=0.3, pause=0.05, longest=0.2, starts=3, settled=30, drain=1, end=1
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("stand_ins")


class Noted:
    """What a keeper wrote down."""

    def __init__(self) -> None:
        self.answered: list[tuple[int, str | None]] = []
        self.refusals: list[tuple[int, str]] = []
        self.away = 0

    def answers(self, target: Target, card: str | None) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionError("the database is away")
        self.answered.append((target.version, card))

    def refused(self, target: Target, problem: str) -> None:
        self.refusals.append((target.version, problem))


def target(model: str = "good", version: int = 1, **changes: Any) -> Target:
    return replace(Target("d1", version, "tutor", "glassbox", f"{model}:1"), **changes)


Make = Callable[..., Keeper]


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def keep(tmp_path: Path, noted: Noted) -> Iterator[Make]:
    keepers: list[Keeper] = []

    def make(wanted: Target | None, patience: Patience = QUICK, *, start: bool = False) -> Keeper:
        keepers.append(Keeper(wanted, tmp_path, noted, patience, start=start))
        return keepers[-1]

    yield make
    for keeper in keepers:
        keeper.close()


def reach(keeper: Keeper, state: State) -> Condition:
    def reached() -> Condition | None:
        now = keeper.condition()
        return now if now.state == state else None

    return until(reached, f"it was {state}: {keeper.condition()}")


def pid_of(keeper: Keeper) -> int:
    child = keeper.ready().result(PATIENCE)
    assert child.look(PATIENCE)
    assert child.health is not None
    return child.health.pid


def test_what_never_sleeps_is_started_at_once_and_tells_of_itself(keep: Make, noted: Noted):
    keeper = keep(target())
    condition = reach(keeper, "ready")
    assert condition.version == 1
    assert condition.starts == 1
    [(version, card)] = until(lambda: noted.answered, "it was written down")
    assert version == 1
    assert card is not None
    assert '"context":64' in card
    assert "owned_by" not in card


def test_what_may_sleep_is_started_when_it_is_asked_for(keep: Make):
    keeper = keep(target(unload_after=60))
    assert reach(keeper, "asleep").starts == 0
    assert keeper.child() is None
    child = keeper.ready().result(PATIENCE)
    assert child.port is not None
    assert keeper.child() is child


def test_a_process_without_requests_is_put_to_sleep_and_woken_by_the_next(keep: Make):
    keeper = keep(target(unload_after=1), start=True)
    first = pid_of(keeper)
    assert reach(keeper, "asleep").note is not None
    until(lambda: not psutil.pid_exists(first), "its process ended")
    assert pid_of(keeper) != first


def test_a_process_that_answers_a_request_is_not_put_to_sleep(keep: Make):
    keeper = keep(target(unload_after=1), start=True)
    child = keeper.ready().result(PATIENCE)
    with child.answering():
        idle_enough = keeper.condition().since + 2.5
        until(lambda: time.time() > idle_enough, "it was idle for long enough")
        assert keeper.condition().state == "ready"
    reach(keeper, "asleep")


def test_a_process_that_is_killed_is_started_again(keep: Make):
    keeper = keep(target())
    first = pid_of(keeper)
    os.kill(first, signal.SIGKILL)
    until(lambda: keeper.condition().starts == 2, "it was started again")
    assert "killed by SIGKILL" in (keeper.condition().note or "killed by SIGKILL")
    assert pid_of(keeper) != first


def test_a_process_that_answers_is_started_again_however_often_it_is_killed(keep: Make):
    keeper = keep(target())
    for _ in range(QUICK.starts + 2):
        killed = pid_of(keeper)
        os.kill(killed, signal.SIGKILL)
        until(lambda: keeper.condition().version is None, "its end was noticed")
    assert pid_of(keeper) != killed
    assert reach(keeper, "ready").starts == QUICK.starts + 3


def test_a_process_that_hangs_is_killed_and_started_again(keep: Make):
    keeper = keep(target())
    first = pid_of(keeper)
    os.kill(first, signal.SIGSTOP)
    until(lambda: keeper.condition().starts == 2, "it was started again")
    assert pid_of(keeper) != first
    until(lambda: not psutil.pid_exists(first), "the process that hung ended")


def test_a_start_that_fails_is_tried_again(keep: Make):
    keeper = keep(target("flaky"))
    assert reach(keeper, "ready").starts == 3


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("faulty", "exit code 1. Its last words: loading faulty RuntimeError: no luck"),
        ("dies", "killed by SIGKILL. The system does so when memory runs out"),
    ],
)
def test_after_so_many_tries_it_has_failed_and_says_why(keep: Make, noted: Noted, model: str, reason: str):
    keeper = keep(target(model))
    condition = reach(keeper, "failed")
    assert condition.starts == QUICK.starts
    assert reason in (condition.note or "")
    assert f"loading {model}" in condition.lines
    with pytest.raises(NotServed, match=r"process"):
        keeper.ready().result(PATIENCE)
    assert until(lambda: noted.refusals, "it was written down")[0][0] == 1


def test_what_only_a_person_can_put_right_is_not_tried_again(keep: Make):
    condition = reach(keep(target("refuses")), "failed")
    assert condition.starts == 1
    assert condition.note == "loading refuses There is no model called refuses. See what there is."


def test_a_process_that_never_answers_is_ended_in_time(keep: Make):
    keeper = keep(target("never"), replace(QUICK, start=0.5, starts=1))
    assert "gave no answer within" in (reach(keeper, "failed").note or "")


def test_a_process_that_holds_too_much_memory_is_ended(keep: Make):
    keeper = keep(target(memory=1 << 20), replace(QUICK, starts=1))
    assert "bytes, and 1,048,576 are allowed" in (reach(keeper, "failed").note or "")


def test_what_has_failed_is_tried_again_when_a_person_asks(keep: Make):
    keeper = keep(target("refuses"))
    reach(keeper, "failed")
    keeper.want(target("good", 2))
    assert reach(keeper, "ready").version == 2


def test_a_new_version_takes_over_when_it_answers_and_the_old_one_until_then(keep: Make, noted: Noted):
    keeper = keep(target())
    first = pid_of(keeper)
    keeper.want(target(version=2))
    while keeper.condition().version == 1:
        assert keeper.child() is not None
        assert psutil.pid_exists(first)
    assert reach(keeper, "ready").version == 2
    until(lambda: not psutil.pid_exists(first), "the old process ended")
    assert [version for version, _ in noted.answered] == [1, 2]


def test_a_version_that_never_answers_leaves_the_old_one_in_place(keep: Make, noted: Noted):
    keeper = keep(target())
    first = pid_of(keeper)
    keeper.want(target("refuses", 2))
    until(lambda: noted.refusals, "it was written down")
    assert noted.refusals[0][0] == 2
    assert pid_of(keeper) == first
    condition = keeper.condition()
    assert (condition.state, condition.version, condition.coming) == ("ready", 1, None)
    assert "Version 2 did not come to answer" in (condition.note or "")


def test_an_old_process_ends_when_it_has_given_its_answers(keep: Make):
    keeper = keep(target(), replace(QUICK, drain=PATIENCE))
    child = keeper.ready().result(PATIENCE)
    first = pid_of(keeper)
    with child.answering():
        keeper.want(target(version=2))
        until(lambda: keeper.condition().version == 2, "the new one took over")
        assert psutil.pid_exists(first)
    until(lambda: not psutil.pid_exists(first), "the old process ended")


def test_what_is_stopped_ends_and_says_so(keep: Make):
    keeper = keep(target())
    first = pid_of(keeper)
    keeper.want(None)
    reach(keeper, "stopped")
    until(lambda: not psutil.pid_exists(first), "its process ended")
    with pytest.raises(NotServed, match="stopped"):
        keeper.ready().result(PATIENCE)


def test_stopping_while_it_starts_ends_it(keep: Make):
    keeper = keep(target("never"))
    until(lambda: keeper.condition().starts == 1, "it was started")
    keeper.want(None)
    reach(keeper, "stopped")


def test_what_could_not_be_written_down_is_written_down_later(keep: Make, noted: Noted):
    noted.away = 2
    keeper = keep(target())
    reach(keeper, "ready")
    until(lambda: noted.answered, "it was written down")
    assert noted.away == 0


def test_closing_leaves_no_process(keep: Make):
    keeper = keep(target())
    first = pid_of(keeper)
    keeper.close()
    until(lambda: not psutil.pid_exists(first), "its process ended")


def test_only_so_many_requests_wait_for_a_start(keep: Make):
    keeper = keep(target("never"))
    futures = [keeper.ready() for _ in range(257)]
    with pytest.raises(NotServed, match="Too many"):
        futures[-1].result(1)
