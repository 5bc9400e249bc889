"""How often a password may be tried: from one machine, for one name, and after a restart."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from people import People

from glassbox.workshop.accounts import login_limits
from glassbox.workshop.accounts.login_limits import (
    FOR_ONE_NAME,
    FROM_ONE_ADDRESS,
    FROM_ONE_ADDRESS_FOR_ONE_NAME,
    WINDOW,
    LoginLimits,
)
from glassbox.workshop.database import Database
from glassbox.workshop.problems import TooMany


class Clock:
    """A time that goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(login_limits, "time", clock)
    return clock


def tries(limits: LoginLimits, name: str, address: str, most: int = 200) -> int:
    """How many tries are taken."""
    for taken in range(most):
        try:
            limits.count(name, address)
        except TooMany:
            return taken
    return most


def test_one_machine_tries_one_name_a_few_times(database: Database):
    limits = LoginLimits(database)
    assert tries(limits, "ada", "10.0.0.1") == FROM_ONE_ADDRESS_FOR_ONE_NAME
    assert tries(limits, "bob", "10.0.0.1") == FROM_ONE_ADDRESS_FOR_ONE_NAME


def test_one_machine_cannot_lock_a_person_out(database: Database):
    limits = LoginLimits(database)
    tries(limits, "ada", "10.0.0.1")
    limits.count("ada", "10.0.0.2")


def test_one_machine_cannot_go_through_a_list_of_names(database: Database):
    limits = LoginLimits(database)
    assert sum(tries(limits, f"name-{number}", "10.0.0.1", 1) for number in range(100)) == FROM_ONE_ADDRESS


def test_many_machines_together_cannot_guess_at_one_name(database: Database):
    limits = LoginLimits(database)
    assert sum(tries(limits, "ada", f"10.0.{number}.1", 1) for number in range(150)) == FOR_ONE_NAME


def test_whoever_has_a_network_of_addresses_has_one(database: Database):
    limits = LoginLimits(database)
    taken = sum(tries(limits, "ada", f"2001:db8::{number:x}", 1) for number in range(1, 30))
    assert taken == FROM_ONE_ADDRESS_FOR_ONE_NAME
    limits.count("ada", "2001:db8:0:1::1")


def test_an_address_is_the_same_in_the_clothes_of_ipv6(database: Database):
    limits = LoginLimits(database)
    tries(limits, "ada", "10.0.0.1")
    assert tries(limits, "ada", "::ffff:10.0.0.1") == 0


def test_a_right_password_forgives_what_was_mistyped_before_it(database: Database):
    limits = LoginLimits(database)
    tries(limits, "ada", "10.0.0.1", 9)
    limits.succeeded("ada", "10.0.0.1")
    assert tries(limits, "ada", "10.0.0.1") == FROM_ONE_ADDRESS_FOR_ONE_NAME


def test_a_restart_forgets_nothing(database: Database):
    tries(LoginLimits(database), "ada", "10.0.0.1")
    assert tries(LoginLimits(database), "ada", "10.0.0.1") == 0


def test_the_answer_says_when_the_next_try_is_taken_and_it_is(database: Database, clock: Clock):
    limits = LoginLimits(database)
    for _ in range(FROM_ONE_ADDRESS_FOR_ONE_NAME):
        limits.count("ada", "10.0.0.1")
        clock.now += 1
    with pytest.raises(TooMany) as refused:
        limits.count("ada", "10.0.0.1")
    seconds = int(refused.value.headers["Retry-After"])
    assert seconds == WINDOW - FROM_ONE_ADDRESS_FOR_ONE_NAME
    clock.now += seconds - 1
    assert tries(limits, "ada", "10.0.0.1") == 0
    clock.now += 1
    limits.count("ada", "10.0.0.1")


def test_many_tries_at_once_do_not_slip_through_together(database: Database):
    limits, taken = LoginLimits(database), []

    def attempt() -> None:
        taken.append(tries(limits, "ada", "10.0.0.1", 3))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == FROM_ONE_ADDRESS_FOR_ONE_NAME


@pytest.mark.one_database
def test_over_http_the_answer_is_429_also_for_the_right_password(people: People):
    people.give_password("member", "blue horses dance slowly")
    client = people.client(None)
    wrong, right = ({"name": "member", "password": word} for word in ("wrong", "blue horses dance slowly"))
    statuses = [client.post("/api/login", json=wrong).status_code for _ in range(FROM_ONE_ADDRESS_FOR_ONE_NAME)]
    assert statuses == [401] * FROM_ONE_ADDRESS_FOR_ONE_NAME
    answer = client.post("/api/login", json=right)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW
    assert "15 minutes" in answer.json()["remedy"]


@given(st.ip_addresses())
def test_every_address_has_a_place_to_be_counted_in(address: object):
    assert 0 < len(login_limits._network(str(address))) <= 64


def test_time_is_the_real_one():
    assert login_limits.time is time
