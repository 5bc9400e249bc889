"""The engines beside one another: their source, and the benches that were kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from people import People
from shelf import Shelf

import glassbox
from glassbox.engines.catalogue import ENGINES
from glassbox.evaluation.engines.code import COMPONENTS
from glassbox.evaluation.engines.machine import this_machine
from glassbox.workspace import Artifact

pytestmark = pytest.mark.one_database

SOURCE = Path(glassbox.__file__).parent.parent


def times(least: float) -> dict[str, float]:
    return {"least": least, "lower": least, "median": least, "upper": least * 1.01}


def report(shelf: Shelf, step: float, owner: str = "member", **bench: Any) -> Artifact:
    """As the stage keeps it, with the parts that are compared."""
    seconds = {part: times(step) for part in ("forward", "backward", "update", "step")}
    measured = {"arrays": {"1x16": {"seconds": seconds, "peak_bytes": 1_000_000}}}
    content = {
        "machine": this_machine(),
        "step": {"agree": True},
        "bench": {"batch": 1, "length": 16, "threads": 1, "engines": measured, **bench},
    }
    return shelf.publish(
        "report",
        "engines",
        {"report.json": json.dumps(content).encode()},
        owner=owner,
        stage="compare-engines",
        facts={"agree": True, "model": "microgpt", "bench": True},
    )


def test_the_engines_say_what_they_show_and_hide(client: TestClient):
    told = client.get("/api/engines").json()
    assert [one["name"] for one in told["engines"]] == list(ENGINES)
    assert all(one["shows"] and one["hides"] for one in told["engines"])
    assert told["components"] == list(COMPONENTS)


def test_the_source_is_the_real_one_to_the_line(client: TestClient):
    for component in COMPONENTS:
        told = client.get(f"/api/engines/code/{component}").json()
        assert set(told["engines"]) == set(ENGINES)
        for name, engine in told["engines"].items():
            lines = (SOURCE / engine["path"]).read_text().splitlines()
            for row in told["rows"]:
                if unit := row["units"][name]:
                    first = unit["line"] - 1
                    assert lines[first : first + unit["source"].count("\n") + 1] == unit["source"].splitlines()
        shared = [row for row in told["rows"] if all(row["units"].values())]
        assert shared


def test_an_unknown_component_names_the_nearest(client: TestClient):
    answer = client.get("/api/engines/code/atention")
    assert (answer.status_code, "attention" in answer.json()["remedy"]) == (404, True)


def test_kept_comparisons_are_listed_and_read(client: TestClient, shelf: Shelf):
    kept = report(shelf, 1.0)
    shelf.publish("report", "engines", stage="evaluate")
    plain = shelf.publish("report", "engines", stage="compare-engines", facts={"agree": True})
    told = client.get("/api/engines/reports").json()["reports"]
    assert [(one["id"], one["bench"], one["model"]) for one in told] == [
        (plain.id, False, None),
        (kept.id, True, "microgpt"),
    ]
    assert [one["id"] for one in client.get("/api/engines/reports", params={"bench": True}).json()["reports"]] == [
        kept.id
    ]
    assert client.get(f"/api/engines/reports/{kept.id}").json()["report"]["bench"]["threads"] == 1
    assert client.get(f"/api/engines/reports/{plain.id}").status_code == 422


def test_what_became_slower_beyond_noise_is_told(client: TestClient, shelf: Shelf):
    before, now, other = report(shelf, 1.0), report(shelf, 1.5), report(shelf, 1.5, threads=2)
    told = client.get(f"/api/engines/reports/{now.id}/since/{before.id}").json()
    assert (told["same_hardware"], told["same_conditions"]) == (True, True)
    assert {one["what"] for one in told["regressions"]} == {
        f"{part}_seconds" for part in ("forward", "backward", "update", "step")
    }
    assert told["regressions"][0]["times"] == pytest.approx(1.5)
    assert client.get(f"/api/engines/reports/{before.id}/since/{now.id}").json()["regressions"] == []
    apart = client.get(f"/api/engines/reports/{other.id}/since/{before.id}").json()
    assert (apart["same_conditions"], apart["regressions"]) == (False, [])


def test_reports_of_others_are_not_there(people: People, shelf: Shelf):
    mine, theirs = report(shelf, 1.0), report(shelf, 1.0, "another")
    client = people.client("member")
    assert [one["id"] for one in client.get("/api/engines/reports").json()["reports"]] == [mine.id]
    for path in (theirs.id, f"{theirs.id}/since/{mine.id}", f"{mine.id}/since/{theirs.id}"):
        assert client.get(f"/api/engines/reports/{path}").status_code == 404


def test_a_report_of_something_else_is_told(client: TestClient, shelf: Shelf):
    for content in [
        b"{",
        b"[]",
        b"{}",
        b'{"machine": {}, "step": {}}',
        b'{"machine": 1, "step": {}, "bench": {"batch": []}}',
    ]:
        strange = shelf.publish("report", "engines", {"report.json": content}, stage="compare-engines")
        assert client.get(f"/api/engines/reports/{strange.id}/since/{strange.id}").status_code == 422
