"""Limits hold for persons and for their keys, and a restart forgets nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.accounts.keys import ApiKeys
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.gateway import quotas as module
from glassbox.workshop.gateway.quotas import EVERYONE, Exceeded, Limits, Quotas
from glassbox.workshop.gateway.usage import DAY, Entry, UsageLog


@pytest.fixture
def ada(database: Database) -> Actor:
    user = Users(database).add("ada", "member", None)
    return Actor(user.id, "ada", "member")


def entry(actor: Actor, tokens: int, moment: float | None = None) -> Entry:
    return Entry("r", moment or time.time(), actor.id, actor.key or "", "tutor", "completions", 200, tokens, 0, 1, None)


def with_key(database: Database, actor: Actor, **limits: Any) -> Actor:
    _, key = ApiKeys(database).make(actor.id, "key", **limits)
    return Actor(actor.id, actor.name, actor.role, key=key.id)


def test_without_limits_one_asks_as_one_likes(database: Database, ada: Actor):
    quotas = Quotas(database)
    for _ in range(100):
        assert quotas.admit(ada) == {}


def test_what_is_left_is_told_and_the_next_request_refused(database: Database, ada: Actor):
    quotas = Quotas(database)
    quotas.set_limits(ada.id, Limits(requests_per_minute=3))
    assert [quotas.admit(ada)["requests"].left for _ in range(3)] == [2, 1, 0]
    with pytest.raises(Exceeded) as refused:
        quotas.admit(ada)
    assert refused.value.kind == "requests"
    assert 59 < refused.value.seconds <= 60


def test_a_minute_later_one_may_ask_again(database: Database, ada: Actor, monkeypatch: pytest.MonkeyPatch):
    quotas = Quotas(database)
    quotas.set_limits(ada.id, Limits(requests_per_minute=1))
    now = time.time()
    for moment, admitted in ((now, True), (now + 30, False), (now + 59.9, False), (now + 60, True)):
        monkeypatch.setattr(module.time, "time", lambda moment=moment: moment)
        if admitted:
            quotas.admit(ada)
        else:
            with pytest.raises(Exceeded) as refused:
                quotas.admit(ada)
            assert refused.value.seconds == pytest.approx(now + 60 - moment)


def test_a_refused_request_does_not_count(database: Database, ada: Actor):
    quotas = Quotas(database)
    key = with_key(database, ada, requests_per_minute=1)
    quotas.set_limits(ada.id, Limits(requests_per_minute=2))
    quotas.admit(key)
    for _ in range(5):
        with pytest.raises(Exceeded, match="This key"):
            quotas.admit(key)
    assert quotas.admit(ada)["requests"].left == 0


def test_tokens_of_a_day_are_those_of_all_keys_together(database: Database, ada: Actor):
    quotas = Quotas(database)
    quotas.set_limits(ada.id, Limits(tokens_per_day=100))
    one, other = with_key(database, ada), with_key(database, ada)
    for actor in (one, other):
        quotas.admit(actor)
        quotas.note(entry(actor, 50))
    with pytest.raises(Exceeded, match="You") as refused:
        quotas.admit(ada)
    assert refused.value.kind == "tokens"
    assert 0 < refused.value.seconds <= DAY


def test_a_new_day_begins_at_midnight(database: Database, ada: Actor, monkeypatch: pytest.MonkeyPatch):
    quotas = Quotas(database)
    quotas.set_limits(ada.id, Limits(tokens_per_day=10))
    midnight = 20_000 * DAY
    monkeypatch.setattr(module.time, "time", lambda: midnight - 1)
    quotas.admit(ada)
    quotas.note(entry(ada, 10, midnight - 1))
    with pytest.raises(Exceeded) as refused:
        quotas.admit(ada)
    assert refused.value.seconds == 1
    monkeypatch.setattr(module.time, "time", lambda: midnight)
    assert quotas.admit(ada)["tokens"].left == 10
    quotas.note(entry(ada, 7, midnight - 1))  # it came on the day before
    assert quotas.admit(ada)["tokens"].left == 10


def test_a_restart_forgets_neither_minute_nor_day(database: Database, ada: Actor):
    key = with_key(database, ada, requests_per_minute=2, tokens_per_day=1000)
    before, log = Quotas(database), UsageLog(database)
    for tokens in (300, 400):
        before.admit(key)
        before.note(entry(key, tokens))
        log.note(entry(key, tokens))
    log.close()
    after = Quotas(database)
    with pytest.raises(Exceeded, match="This key") as refused:
        after.admit(key)
    assert refused.value.kind == "requests"
    after.set_limits(ada.id, Limits(tokens_per_day=701))
    assert after.admit(ada)["tokens"].left == 1


def test_everyones_limits_hold_for_those_who_have_none_of_their_own(database: Database, ada: Actor):
    quotas = Quotas(database)
    quotas.set_limits(EVERYONE, Limits(requests_per_minute=1))
    assert quotas.admit(ada)["requests"].limit == 1
    quotas.set_limits(ada.id, Limits(requests_per_minute=5))
    assert quotas.admit(ada)["requests"].limit == 5
    quotas.set_limits(ada.id, None)
    with pytest.raises(Exceeded):
        quotas.admit(ada)
    assert quotas.limits_of(ada.id) is None


def test_of_two_limits_the_tighter_one_is_told(database: Database, ada: Actor):
    quotas = Quotas(database)
    quotas.set_limits(ada.id, Limits(requests_per_minute=100))
    assert quotas.admit(with_key(database, ada, requests_per_minute=7))["requests"].limit == 7


def test_a_limit_of_nothing_shuts_out(database: Database, ada: Actor):
    quotas = Quotas(database)
    quotas.set_limits(ada.id, Limits(requests_per_minute=0))
    with pytest.raises(Exceeded):
        quotas.admit(ada)
