"""Whatever changes something leaves an entry in the audit log."""

from __future__ import annotations

import logging

import pytest
from access_examples import PASSWORD, run_of
from people import People

from glassbox.workshop.accounts.audit import Audit, Entry
from glassbox.workshop.database.database import DatabaseAway


def entries(people: People) -> list[Entry]:
    """Oldest first."""
    return people.workshop.audit.entries(before=None, limit=1000)[::-1]


def test_a_change_is_noted_with_who_what_when_and_how_it_was_answered(people: People):
    run = run_of(people)
    answer = people.client("member").put(f"/api/sharing/run/{run.id}/everyone")
    (entry,) = entries(people)
    assert (entry.actor, entry.actor_name) == (people.user("member").id, "member")
    assert (entry.action, entry.subject, entry.status) == ("share_with_everyone", f"run/{run.id}", 204)
    assert entry.request == answer.headers["x-request-id"]
    assert entry.address == "testclient"


def test_what_was_made_is_named_in_its_entry(people: People):
    made = people.client("member").post("/api/keys", json={"name": "notebook"}).json()
    invited = people.client("owner").post("/api/people", json={"name": "ada"}).json()
    assert [entry.subject for entry in entries(people)] == [made["id"], invited["person"]["id"]]


def test_what_a_known_person_tried_in_vain_is_noted(people: People):
    people.client("member").post("/api/people", json={"name": "ada"})
    (entry,) = entries(people)
    assert (entry.actor_name, entry.action, entry.status) == ("member", "invite_person", 403)


def test_a_login_is_noted_with_who_came_and_a_strangers_tries_fill_nothing(people: People):
    people.give_password("member", PASSWORD)
    stranger = people.client(None)
    stranger.post("/api/login", json={"name": "member", "password": "wrong"})
    stranger.post("/api/people", json={"name": "ada"})
    assert entries(people) == []
    stranger.post("/api/login", json={"name": "member", "password": PASSWORD})
    assert [(entry.actor_name, entry.action) for entry in entries(people)] == [("member", "log_in")]


def test_looking_leaves_nothing(people: People):
    people.client("owner").get("/api/people")
    people.client("member").get("/api/people")
    assert entries(people) == []


def test_no_secret_is_noted(people: People):
    run = run_of(people)
    made = people.client("member").post(f"/api/sharing/run/{run.id}/links", json={}).json()
    secret = made["address"].rpartition("/")[2]
    people.client(None).get(f"/shared/{secret}")
    assert all(secret not in repr(entry) for entry in entries(people))


def test_a_link_that_is_followed_is_not_in_the_log_of_requests_either(people: People, caplog: pytest.LogCaptureFixture):
    run = run_of(people)
    secret = people.workshop.links.make("run", run.id, people.user("member").id, lasts=None)[0]
    with caplog.at_level(logging.INFO):
        assert people.client(None).get(f"/shared/{secret}/curves").status_code == 200
    ours = [record for record in caplog.records if record.name.startswith("glassbox")]
    assert ours
    assert all(secret not in repr(record.__dict__) for record in ours)


def test_a_change_whose_entry_cannot_be_written_is_in_the_log_instead(
    people: People, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def away(*_: object) -> None:
        raise DatabaseAway("gone")

    client = people.client("member")
    monkeypatch.setattr(Audit, "note", away)
    assert client.post("/api/keys", json={"name": "notebook"}).status_code == 201
    (record,) = [record for record in caplog.records if record.name == "glassbox.workshop.audit"]
    assert record.fields["action"] == "make_key"  # pyright: ignore[reportAttributeAccessIssue]  (given as `extra`)


def test_owners_page_through_the_log(people: People):
    member, owner = people.client("member"), people.client("owner")
    for number in range(5):
        member.post("/api/keys", json={"name": f"key {number}"})
    first = owner.get("/api/audit", params={"limit": 2}).json()
    second = owner.get("/api/audit", params={"limit": 2, "before": first["next"]}).json()
    third = owner.get("/api/audit", params={"limit": 2, "before": second["next"]}).json()
    numbers = [entry["number"] for page in (first, second, third) for entry in page["entries"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 5
    assert third["next"] is None
    assert owner.get("/api/audit", params={"actor": people.user("owner").id}).json()["entries"] == []
