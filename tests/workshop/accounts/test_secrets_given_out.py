"""Sessions, keys, one-time tokens and links: what opens a door does so for whom, how long and how often it should."""

from __future__ import annotations

import threading
import time

import pytest
from access_examples import run_of
from people import People
from sqlalchemy import select

from glassbox.workshop.accounts import keys, links, sessions
from glassbox.workshop.accounts.links import Links
from glassbox.workshop.accounts.sessions import LASTS, Sessions
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import Table


class Clock:
    """A time that goes on when a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (sessions, keys, links):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def ada(database: Database) -> str:
    return Users(database).add("ada", "member", None).id


def test_a_session_lasts_as_long_as_it_is_used_and_a_month_more(database: Database, ada: str, clock: Clock):
    opened = Sessions(database)
    used, unused = opened.open(ada, "a"), opened.open(ada, "b")
    clock.ahead = LASTS - 100
    assert opened.actor(used) is not None
    clock.ahead = LASTS + 100
    assert opened.actor(unused) is None
    assert opened.actor(used) is not None
    assert [session.agent for session in opened.of(ada)] == ["a"]
    clock.ahead = 3 * LASTS
    assert opened.actor(used) is None


def test_a_session_is_ended_by_whose_it_is(people: People):
    opened = people.workshop.sessions
    mine, theirs = people.user("member").id, people.user("other member").id
    secret = opened.open(mine, "browser")
    (session,) = opened.of(mine)
    assert not opened.end(theirs, session.id)
    assert opened.actor(secret) is not None
    assert opened.end(mine, session.id)
    assert not opened.end(mine, session.id)
    assert opened.actor(secret) is None
    opened.open(mine, "browser")
    opened.end_all(mine)
    assert opened.of(mine) == []


@pytest.mark.parametrize("secret", ["", "x", "\x00", "\ud800", "a" * 100_000])
def test_what_is_no_secret_opens_nothing(people: People, secret: str):
    workshop = people.workshop
    assert workshop.sessions.actor(secret) is None
    assert workshop.keys.actor(secret) is None
    assert workshop.sessions.redeem(secret) is None
    assert workshop.links.follow(secret) is None


def test_a_one_time_token_is_used_once_also_by_many_at_once(database: Database, ada: str):
    opened = Sessions(database)
    token, redeemed = opened.one_time_token(ada), []
    threads = [threading.Thread(target=lambda: redeemed.append(opened.redeem(token))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (redeemed.count(ada), redeemed.count(None)) == (1, 7)


def test_a_one_time_token_is_for_one_purpose_and_a_while(database: Database, ada: str, clock: Clock):
    opened = Sessions(database)
    token = opened.one_time_token(ada, "password", lasts=60)
    assert opened.redeem(token) is None
    assert opened.whose(token, "open") is None
    assert opened.whose(token, "password") == ada
    clock.ahead = 61
    assert opened.whose(token, "password") is None
    assert opened.redeem(token, "password") is None


def test_a_key_opens_until_it_expires_or_is_withdrawn(people: People, clock: Clock):
    made, user = people.workshop.keys, people.user("member").id
    secret, key = made.make(user, "notebook", lasts=60, scope="models")
    actor = made.actor(secret)
    assert actor is not None
    assert (actor.id, actor.scope, actor.key) == (user, "models", key.id)
    assert made.of(user)[0].used is not None
    assert not made.revoke(people.user("other member").id, key.id)
    assert not made.revoke(user, "nothing")
    clock.ahead = 61
    assert made.actor(secret) is None
    forever, another = made.make(user, "server")
    clock.ahead = 1e9
    assert made.actor(forever) is not None
    assert made.revoke(user, another.id)
    assert made.revoke(user, another.id)
    assert made.actor(forever) is None
    third, _ = made.make(user, "third")
    made.revoke_all(user)
    assert made.actor(third) is None
    assert [key.name for key in made.of(user)] == ["third", "server", "notebook"]


def test_a_link_leads_somewhere_until_it_expires_is_withdrawn_or_its_maker_is_shut_out(
    database: Database, ada: str, clock: Clock
):
    made = Links(database)
    secret, link = made.make("run", "evaluate-abcdef", ada, lasts=60)
    followed = made.follow(secret)
    assert followed == link
    assert made.of("run", "evaluate-abcdef") == [link]
    clock.ahead = 61
    assert made.follow(secret) is None
    assert made.of("run", "evaluate-abcdef") == []
    forever, link = made.make("run", "evaluate-abcdef", ada, lasts=None)
    assert not made.withdraw("run", "evaluate-ghijkm", link.id)
    assert made.follow(forever) is not None
    Users(database).disable(ada)
    assert made.follow(forever) is None
    Users(database).enable(ada)
    assert made.withdraw("run", "evaluate-abcdef", link.id)
    assert not made.withdraw("run", "evaluate-abcdef", link.id)
    assert made.follow(forever) is None


def test_the_database_holds_no_secret_that_was_given_out(people: People):
    """Every table is searched, as a thief of the database would."""
    owner, member = people.client("owner"), people.client("member")
    people.give_password("member", "blue horses dance slowly")
    run = run_of(people)
    invited = owner.post("/api/people", json={"name": "ada"}).json()
    secrets = [
        "blue horses dance slowly",
        owner.cookies["glassbox_session"],
        member.cookies["glassbox_session"],
        member.post("/api/keys", json={"name": "k"}).json()["secret"],
        member.post(f"/api/sharing/run/{run.id}/links", json={}).json()["address"].rpartition("/")[2],
        invited["address"].rpartition("=")[2],
        people.workshop.sessions.one_time_token(people.user("member").id),
    ]
    login = {"name": "member", "password": secrets[0]}
    assert people.client(None).post("/api/login", json=login).status_code == 200
    everything = _everything(people.workshop.database)
    assert "member" in everything
    for secret in secrets:
        assert secret not in everything
        assert secret[-20:] not in everything


def _everything(database: Database) -> str:
    with database.reading() as session:
        rows = [session.execute(select(table)).all() for table in Table.metadata.sorted_tables]
    return repr(rows)
