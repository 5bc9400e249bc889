"""Descriptions that people keep: each their own names, and the command line's."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from people import People

from glassbox.spec import ModelSpec, preset
from glassbox.workshop import own_specs
from glassbox.workshop.database.tables import ShareRow
from glassbox.workspace.descriptions import Descriptions

SMALL = {"preset": "gpt2-small", "changes": {"layers": 2}}


def keep(client: TestClient, name: str = "mine", **more: object) -> str:
    answer = client.post("/api/own-specs", json={"name": name, "model": SMALL, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/own-specs/{answer.json()['id']}"
    return answer.json()["id"]


def test_two_people_keep_the_same_name_and_neither_sees_the_others(people: People):
    member, another = people.client("member"), people.client("another")
    first, second = keep(member), keep(another)
    assert first != second
    assert [one["id"] for one in member.get("/api/own-specs").json()] == [first]
    assert member.get(f"/api/own-specs/{second}").status_code == 404
    assert member.delete(f"/api/own-specs/{second}").status_code == 404
    assert member.post("/api/specs/count", json={"model": {"own": second}}).status_code == 404
    everything = people.client("educator").get("/api/own-specs").json()
    assert {(one["id"], one["mine"]) for one in everything} == {(first, False), (second, False)}
    assert people.client("educator").delete(f"/api/own-specs/{second}").status_code == 403
    assert people.client("owner").delete(f"/api/own-specs/{second}").status_code == 204
    assert another.get("/api/own-specs").json() == []


def test_what_is_shared_is_seen_and_used_but_not_deleted(people: People):
    kept = keep(people.client("member"))
    with people.workshop.database.writing() as session:
        session.add(ShareRow(kind="spec", id=kept, created=0.0, by=people.user("member").id))
    another = people.client("another")
    assert [(one["id"], one["mine"]) for one in another.get("/api/own-specs").json()] == [(kept, False)]
    assert another.post("/api/specs/count", json={"model": {"own": kept}}).status_code == 200
    assert another.delete(f"/api/own-specs/{kept}").status_code == 403


def test_who_sits_at_the_machine_shares_their_names_with_the_command_line(client: TestClient, people: People):
    descriptions = Descriptions(people.workshop.workspace.folder)
    descriptions.save("typed", preset("gpt2-medium").model_dump_json())
    kept = keep(client)
    assert ModelSpec.load(descriptions.file("mine")).layers == 2
    told = client.get("/api/own-specs").json()
    assert [(one["id"], one["mine"]) for one in told] == [("mine", True), ("typed", True)]
    assert client.get("/api/own-specs/typed").json()["parameters"] == 354_823_168
    assert people.client("member").get("/api/own-specs/typed").status_code == 404
    assert client.delete(f"/api/own-specs/{kept}").status_code == 204
    assert list(descriptions.list()) == ["typed"]


def test_a_name_is_replaced_only_if_that_is_asked_for(client: TestClient):
    keep(client)
    again = client.post("/api/own-specs", json={"name": "mine", "model": {"preset": "gpt2-xl"}})
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    kept = keep(client, replace=True)
    assert client.get(f"/api/own-specs/{kept}").json()["description"]["layers"] == 2


def test_a_name_that_can_be_none_is_refused(client: TestClient):
    for name in ["", "../x", "a/b", "Ü", "a~b", "x" * 81, "\x00", "specs.json/"]:
        assert client.post("/api/own-specs", json={"name": name, "model": SMALL}).status_code in (400, 422)


def test_a_presets_name_is_taken(client: TestClient):
    assert client.post("/api/own-specs", json={"name": "gpt2-small", "model": SMALL}).status_code == 409


def test_nobody_keeps_more_than_the_most(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own_specs, "MOST", 1)
    keep(client)
    keep(client, replace=True)
    assert client.post("/api/own-specs", json={"name": "more", "model": SMALL}).status_code == 409


def test_an_id_that_there_is_not_is_not_there(client: TestClient):
    for spec_id in ["no-such", "..%2f..%2fworkspace", "~", "a~", "~b", "a~b~c", "%ff", "..~x"]:
        assert client.get(f"/api/own-specs/{spec_id}").status_code == 404
        assert client.delete(f"/api/own-specs/{spec_id}").status_code == 404


def test_a_file_that_is_no_description_any_more_is_told_without_its_place(client: TestClient, people: People):
    kept = keep(client)
    folder = people.workshop.workspace.folder
    (folder / "specs" / "mine.json").write_text("{")
    [told] = client.get("/api/own-specs").json()
    assert (told["parameters"], "JSON" in told["problem"] or "read" in told["problem"]) == (None, True)
    assert str(folder) not in told["problem"]
    assert client.get(f"/api/own-specs/{kept}").status_code == 422
    assert client.delete(f"/api/own-specs/{kept}").status_code == 204


def test_a_description_that_cannot_be_built_is_not_kept(client: TestClient):
    answer = client.post("/api/own-specs", json={"name": "mine", "model": {**SMALL, "changes": {"heads": 7}}})
    assert (answer.status_code, "heads" in answer.json()["detail"]) == (422, True)
    assert client.get("/api/own-specs").json() == []
