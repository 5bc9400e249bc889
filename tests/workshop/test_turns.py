"""Heavy work takes turns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from glassbox.workshop import turns as module
from glassbox.workshop.problems import Unavailable
from glassbox.workshop.turns import Turns


def test_never_more_work_at_once_than_there_are_turns():
    turns, lock = Turns(at_once=2, waiting=30), threading.Lock()
    at_work = most = 0

    def work(_: int) -> None:
        nonlocal at_work, most
        with turns.take():
            with lock:
                at_work += 1
                most = max(most, at_work)
            threading.Event().wait(0.005)
            with lock:
                at_work -= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(32)))
    assert most == 2


def test_who_finds_the_waiting_room_full_is_told_to_come_again():
    turns = Turns(at_once=1, waiting=0)
    with turns.take():
        with pytest.raises(Unavailable) as told, turns.take():
            pass
        assert told.value.headers["Retry-After"] == "5"
        with turns.take(needed=False):
            pass
    with turns.take():
        pass


def test_who_waits_too_long_is_told_and_a_failure_gives_the_turn_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    turns = Turns(at_once=1, waiting=1)
    with turns.take(), pytest.raises(Unavailable), turns.take():
        pass
    with pytest.raises(ZeroDivisionError), turns.take():
        raise ZeroDivisionError
    with turns.take():
        pass
