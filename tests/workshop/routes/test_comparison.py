"""Runs beside one another over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient
from people import People

from glassbox.workshop.state import Workshop
from glassbox.workspace import Run

ADDRESS = "/api/comparison/runs"


def finished_run(workshop: Workshop, losses: list[float], **settings: Any) -> Run:
    run = workshop.workspace.runs.create("pretrain", name="small", settings=settings, inputs={})
    attempt = workshop.workspace.runs.begin(run)
    for step, loss in enumerate(losses):
        attempt.record("metrics", step=step, values={"loss": loss, f"only_of_{run.id}": 1.0})
    attempt.end("finished", result={"loss": losses[-1]})
    return run


def test_runs_are_compared_by_what_differs(client: TestClient, people: People):
    first = finished_run(people.workshop, [3.0, 2.0], steps=2, model={"width": 8, "layers": 2})
    second = finished_run(people.workshop, [3.0, 1.0, 0.5], steps=2, model={"width": 16, "layers": 2}, seed=3)
    told = client.get(ADDRESS, params={"run": [first.id, second.id]}).json()
    assert told["settings"] == [
        {"name": "model.width", "values": [8, 16]},
        {"name": "seed", "values": [0, 3]},
    ]
    assert told["inputs"] == []
    assert [one["result"] for one in told["runs"]] == [{"loss": 2.0}, {"loss": 0.5}]
    assert all(one["seconds"] >= 0 for one in told["runs"])
    assert told["curves"].keys() == {"loss"}
    assert told["curves"]["loss"][second.id] == {"steps": [0, 1, 2], "values": [3.0, 1.0, 0.5], "points": 3}


def test_a_metric_that_only_one_has_is_shown_when_it_is_asked_for(client: TestClient, people: People):
    first, second = (finished_run(people.workshop, [1.0]) for _ in range(2))
    metric = f"only_of_{first.id}"
    told = client.get(ADDRESS, params={"run": [first.id, second.id], "metric": [metric, "loss"]}).json()
    assert told["curves"][metric].keys() == {first.id}
    assert told["curves"]["loss"].keys() == {first.id, second.id}


def test_one_run_alone_and_unknown_ones_are_refused(client: TestClient, people: People):
    run = finished_run(people.workshop, [1.0])
    assert client.get(ADDRESS, params={"run": [run.id]}).status_code == 422
    assert client.get(ADDRESS, params={"run": [run.id, "pretrain-xxxxxx"]}).status_code == 404


def test_nobody_compares_with_what_they_may_not_see(people: People):
    first, second = (finished_run(people.workshop, [1.0]) for _ in range(2))
    asked = {"run": [first.id, second.id]}
    assert people.client("educator").get(ADDRESS, params=asked).status_code == 200
    assert people.client("member").get(ADDRESS, params=asked).status_code == 404
    assert people.client(None).get(ADDRESS, params=asked).status_code == 401
