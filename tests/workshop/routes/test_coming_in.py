"""Coming in and going out, as a browser and a program meet it."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from access_examples import PASSWORD
from fastapi.testclient import TestClient
from people import ADDRESS, People

from glassbox.errors import BadInput
from glassbox.workshop.access.guards import SESSION_COOKIE
from glassbox.workshop.accounts.passwords import hash_password
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.app import create_app
from glassbox.workshop.database import Database
from glassbox.workshop.settings import WorkshopSettings, address_of
from glassbox.workshop.state import Workshop


def test_the_printed_address_lets_one_browser_in_once(people: People):
    workshop = people.workshop
    token = workshop.sessions.one_time_token(workshop.users.local().id)
    first, second = people.client(None), people.client(None)
    opened = first.get("/open", params={"token": token})
    assert opened.status_code == 200
    assert 'http-equiv="refresh"' in opened.text
    assert first.get("/api/me").json()["role"] == "owner"
    assert second.get("/open", params={"token": token}).status_code == 401
    assert second.get("/api/me").status_code == 401
    assert (
        "glassbox workshop-link" in second.get("/open", params={"token": token}, headers={"accept": "text/html"}).text
    )


@pytest.mark.parametrize("token", ["", "x", "a" * 101, "%00"])
def test_what_is_no_token_opens_nothing(people: People, token: str):
    answer = people.client(None).get(f"/open?token={token}")
    assert answer.status_code in (400, 401, 422)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
def test_scripts_cannot_read_the_cookie_and_other_sites_cannot_send_it(people: People, scheme: str, is_secure: bool):
    people.give_password("member", PASSWORD)
    client = TestClient(people.app, base_url=f"{scheme}://127.0.0.1:8000")
    answer = client.post("/api/login", json={"name": "member", "password": PASSWORD})
    cookie = SimpleCookie(answer.headers["set-cookie"])[SESSION_COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""
    assert bool(cookie["secure"]) == is_secure


def test_a_wrong_name_is_told_like_a_wrong_password(people: People):
    people.give_password("member", PASSWORD)
    client = people.client(None)
    answers = [
        client.post("/api/login", json={"name": name, "password": "something else"}).json()
        for name in ("member", "nobody", "local")
    ]
    assert len({(answer["status"], answer["detail"], answer["remedy"]) for answer in answers}) == 1
    assert answers[0]["status"] == 401


def test_nobody_logs_in_without_a_password_even_if_they_have_none(people: People):
    people.user("member")
    for password in ("", " ", "None", "null"):
        answer = people.client(None).post("/api/login", json={"name": "member", "password": password})
        assert answer.status_code in (401, 422)


def test_logging_out_ends_this_session_only(people: People):
    here, there = people.client("member"), people.client("member")
    secret = here.cookies[SESSION_COOKIE]
    assert here.delete("/api/session").status_code == 204
    here.cookies.set(SESSION_COOKIE, secret)
    assert here.get("/api/me").status_code == 401
    assert there.get("/api/me").status_code == 200


def test_a_person_sees_their_sessions_and_ends_one(people: People):
    here, there = people.client("member"), people.client("member")
    people.client("other member")
    listed = here.get("/api/sessions").json()
    assert [one["current"] for one in listed].count(True) == 1
    assert len(listed) == 2
    other = next(one["id"] for one in listed if not one["current"])
    assert here.delete(f"/api/sessions/{other}").status_code == 204
    assert here.delete(f"/api/sessions/{other}").status_code == 404
    assert there.get("/api/me").status_code == 401


def test_a_new_password_needs_the_old_one_and_keeps_who_asks(people: People):
    people.give_password("member", PASSWORD)
    here, there, key = people.client("member"), people.client("member"), people.key("member")
    change = {"old": "not this one", "new": "another few words"}
    assert here.put("/api/me/password", json=change).status_code == 403
    assert there.get("/api/me").status_code == 200
    assert here.put("/api/me/password", json={"old": PASSWORD, "new": "1234567890"}).status_code == 422
    assert here.put("/api/me/password", json={"old": PASSWORD, "new": "another few words"}).status_code == 204
    assert here.get("/api/me").status_code == 200
    assert there.get("/api/me").status_code == 401
    program = people.client(None)
    assert program.get("/api/me", headers={"authorization": f"Bearer {key}"}).status_code == 401
    login = {"name": "member", "password": "another few words"}
    assert people.client(None).post("/api/login", json=login).status_code == 200


def test_whoever_came_by_an_address_has_no_password_to_change(client: TestClient):
    answer = client.put("/api/me/password", json={"old": "anything", "new": "another few words"})
    assert answer.status_code == 409


def test_the_profile_changes_by_what_is_sent_only(people: People):
    client = people.client("member")
    assert client.patch("/api/me", json={"display_name": " Ada L. "}).json()["display_name"] == "Ada L."
    changed = client.patch("/api/me", json={"persona": "builder"}).json()
    assert (changed["display_name"], changed["persona"]) == ("Ada L.", "builder")
    for refused in ({"role": "owner"}, {"persona": "hacker"}, {"display_name": ""}, {"display_name": "a\nb"}):
        assert client.patch("/api/me", json=refused).status_code == 422
    assert client.get("/api/me").json()["role"] == "member"


def test_an_invitation_lets_one_person_choose_a_password_once(people: People):
    owner, ada = people.client("owner"), people.client(None)
    invitation = owner.post("/api/people", json={"name": "Ada", "role": "educator"}).json()
    assert invitation["address"].startswith(f"{ADDRESS}/invitation?token=")
    page = ada.get(invitation["address"])
    assert page.status_code == 200
    assert "ada" in page.text
    token = invitation["address"].rpartition("=")[2]
    weak = ada.post("/api/invitation", json={"token": token, "password": "1234567890"})
    assert weak.status_code == 422
    accepted = ada.post("/api/invitation", json={"token": token, "password": PASSWORD})
    assert accepted.json()["role"] == "educator"
    assert ada.get("/api/me").json()["name"] == "ada"
    again = people.client(None).post("/api/invitation", json={"token": token, "password": PASSWORD})
    assert again.status_code == 401
    assert people.client(None).get(invitation["address"]).status_code == 401


def test_an_invitation_that_was_printed_for_opening_chooses_no_password(people: People):
    token = people.workshop.sessions.one_time_token(people.user("member").id)
    answer = people.client(None).post("/api/invitation", json={"token": token, "password": PASSWORD})
    assert answer.status_code == 401


def test_an_owner_invites_changes_and_shuts_out(people: People):
    people.give_password("owner", PASSWORD)
    owner = people.client("owner")
    person = owner.post("/api/people", json={"name": "ada"}).json()["person"]
    assert owner.post("/api/people", json={"name": "ada"}).status_code == 422
    place = f"/api/people/{person['id']}"
    assert owner.patch(place, json={"role": "educator"}).json()["role"] == "educator"
    assert owner.patch(place, json={"disabled": True}).json()["disabled"] is not None
    assert owner.post(f"{place}/invitation").status_code == 409
    assert owner.patch(place, json={"disabled": False}).json()["disabled"] is None
    assert owner.get(place).json()["role"] == "educator"
    assert [one["name"] for one in owner.get("/api/people").json()] == ["ada", "owner"]
    assert owner.get("/api/people/local").status_code == 404


def test_the_last_owner_can_neither_be_shut_out_nor_become_less(people: People):
    people.give_password("owner", PASSWORD)
    owner = people.client("owner")
    place = f"/api/people/{people.user('owner').id}"
    assert owner.patch(place, json={"role": "member"}).status_code == 409
    assert owner.patch(place, json={"disabled": True}).status_code == 409
    assert owner.get("/api/me").json()["role"] == "owner"


def test_a_person_has_so_many_keys_and_no_more(people: People, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glassbox.workshop.routes.keys.MOST", 2)
    client = people.client("member")
    made = [client.post("/api/keys", json={"name": "k", "days": 1}).json() for _ in range(2)]
    assert client.post("/api/keys", json={"name": "k"}).status_code == 409
    assert client.delete(f"/api/keys/{made[0]['id']}").status_code == 204
    assert client.post("/api/keys", json={"name": "k"}).status_code == 201
    listed = client.get("/api/keys").json()
    assert "secret" not in listed[0]
    assert listed[-1]["revoked"] is not None
    assert listed[1]["expires"] - listed[1]["created"] == pytest.approx(86400)


def test_a_wrong_key_is_told_even_where_everyone_may_look(people: People):
    answer = people.client(None).get("/health", headers={"authorization": "Bearer glassbox-nothing"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_workshop_that_others_can_reach_needs_accounts(settings: WorkshopSettings):
    for host in ("0.0.0.0", "::", "192.168.1.20", "example.org"):
        with pytest.raises(BadInput, match="no accounts"):
            Workshop(settings.model_copy(update={"host": host}))
    for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1"):
        Workshop(settings.model_copy(update={"host": host})).stop()


def test_a_workshop_for_many_needs_an_owner_who_can_log_in(settings: WorkshopSettings, database: Database):
    many = settings.model_copy(update={"people": "many", "host": "0.0.0.0"})
    users = Users(database)
    users.add("invited", "owner", None)
    users.add("ada", "educator", hash_password(PASSWORD))
    with pytest.raises(BadInput, match="needs an owner"):
        Workshop(many)
    users.add("first", "owner", hash_password(PASSWORD))
    Workshop(many).stop()


def test_whoever_sat_at_the_machine_does_not_come_in_once_it_is_for_many(settings: WorkshopSettings):
    alone = Workshop(settings)
    local = alone.users.local().id
    session, key = alone.sessions.open(local, "browser"), alone.keys.make(local, "key")[0]
    token = alone.sessions.one_time_token(local)
    alone.users.add("first", "owner", hash_password(PASSWORD))
    alone.stop()
    app = create_app(settings.model_copy(update={"people": "many"}))
    client = TestClient(app, base_url=ADDRESS)
    client.cookies.set(SESSION_COOKIE, session)
    assert client.get("/api/me").status_code == 401
    assert client.get("/api/me", headers={"authorization": f"Bearer {key}"}).status_code == 401
    assert client.get("/open", params={"token": token}).status_code == 401
    login = {"name": "first", "password": PASSWORD}
    assert client.post("/api/login", json=login).json()["people"] == "many"
    app.state.workshop.stop()


def test_an_address_can_be_written_into_a_browser():
    assert address_of("127.0.0.1", 8000) == "http://127.0.0.1:8000"
    assert address_of("::1", 8000) == "http://[::1]:8000"
    assert "0.0.0.0" not in address_of("0.0.0.0", 8000)
