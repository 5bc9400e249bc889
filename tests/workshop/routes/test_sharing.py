"""Showing runs and artifacts to others, and what whoever holds a link gets to see."""

from __future__ import annotations

import pytest
from access_examples import artifact_of, run_of
from people import People

from glassbox.workspace import Run
from glassbox.workspace.artifact import Artifact
from glassbox.workspace.events import EVENTS_FILE, EventLog


def linked(people: People, kind: str, object_id: str) -> str:
    """The path of a new link of the member's."""
    made = people.client("member").post(f"/api/sharing/{kind}/{object_id}/links", json={"days": 1}).json()
    return made["address"].removeprefix("http://127.0.0.1:8000")


def with_curves(run: Run) -> Run:
    log = EventLog(run.folder / EVENTS_FILE, attempt=1)
    for step in range(3):
        log.append("metrics", step=step, values={"loss": 4.0 - step, "broken": float("nan")})
    log.close()
    return run


def test_a_link_shows_a_run_and_its_curves_to_whoever_holds_it(people: People):
    run = with_curves(run_of(people))
    place, stranger = linked(people, "run", run.id), people.client(None)
    shown = stranger.get(place).json()
    assert (shown["kind"], shown["id"], shown["state"]) == ("run", run.id, "queued")
    assert "settings" not in shown
    curves = stranger.get(f"{place}/curves").json()["curves"]
    assert curves["loss"] == {"steps": [0, 1, 2], "values": [4.0, 3.0, 2.0], "points": 3}
    assert curves["broken"]["values"] == [None, None, None]


def test_a_link_shows_an_artifact_by_its_numbers(people: People):
    artifact = artifact_of(people)
    place, stranger = linked(people, "artifact", artifact.id), people.client(None)
    shown = stranger.get(place).json()
    assert (shown["reference"], shown["hash"]) == ("example:1", artifact.manifest.hash)
    assert stranger.get(f"{place}/curves").json() == {"curves": {}}


def test_a_link_leads_to_one_thing_and_nothing_beside_it(people: People):
    place, stranger = linked(people, "run", run_of(people).id), people.client(None)
    assert stranger.get(place).status_code == 200
    assert stranger.get("/api/runs/any/events").status_code == 401
    assert stranger.post(place).status_code == 405


@pytest.mark.parametrize("gone", ["withdrawn", "deleted", "disabled"])
def test_a_link_leads_nowhere_once_it_is_withdrawn_or_the_thing_or_its_maker_is_gone(people: People, gone: str):
    run, artifact = run_of(people), artifact_of(people)
    places = {
        "run": (linked(people, "run", run.id), run.id),
        "artifact": (linked(people, "artifact", artifact.id), artifact.id),
    }
    for kind, (place, object_id) in places.items():
        assert people.client(None).get(place).status_code == 200
        if gone == "withdrawn":
            (link,) = people.client("member").get(f"/api/sharing/{kind}/{object_id}").json()["links"]
            where = f"/api/sharing/{kind}/{object_id}/links/{link['id']}"
            assert people.client("member").delete(where).status_code == 204
            assert people.client("member").delete(where).status_code == 404
    if gone == "deleted":
        people.workshop.workspace.runs.delete(run.id)
        people.workshop.workspace.artifacts.remove(Artifact.read(artifact.folder).folder)
    if gone == "disabled":
        people.workshop.users.disable(people.user("member").id)
    for place, _ in places.values():
        assert people.client(None).get(place).status_code == 404


def test_everyone_sees_what_is_shared_until_it_is_not(people: People):
    run = run_of(people)
    member, other = people.client("member"), people.client("other member")
    where, events = f"/api/sharing/run/{run.id}", f"/api/runs/{run.id}/events"
    assert other.get(events).status_code == 404
    assert member.put(f"{where}/everyone").status_code == 204
    assert member.get(where).json() == {"everyone": True, "links": []}
    assert other.get(events).status_code == 200
    assert other.get(where).status_code == 403
    assert member.delete(f"{where}/everyone").status_code == 204
    assert other.get(events).status_code == 404


def test_an_artifact_is_shared_by_its_owner_only(people: People):
    artifact = artifact_of(people)
    where = f"/api/sharing/artifact/{artifact.id}/everyone"
    answers = {name: people.client(name).put(where).status_code for name in ("other member", "educator", "member")}
    assert answers == {"other member": 404, "educator": 403, "member": 204}
    assert people.client("other member").put(where).status_code == 403


@pytest.mark.parametrize("address", ["/api/sharing/upload/x", "/api/sharing/run/nothing", "/api/sharing/artifact/x"])
def test_what_cannot_be_shared_is_refused(people: People, address: str):
    assert people.client("owner").put(f"{address}/everyone").status_code in (404, 422)


@pytest.mark.parametrize("wanted", [{"days": 0}, {"days": 4000}, {"days": "x"}, {"forever": True}])
def test_a_link_lasts_some_days(people: People, wanted: dict[str, object]):
    where = f"/api/sharing/run/{run_of(people).id}/links"
    assert people.client("member").post(where, json=wanted).status_code == 422
    assert people.client("member").post(where, json={"days": None}).json()["expires"] is None
