"""Served models over HTTP: deployed, watched, replaced, gone back to, shared, deleted."""

from __future__ import annotations

import os
import signal
from typing import Any

import httpx
import psutil
import pytest
from live_workshop import LiveWorkshop
from waiting import until


def names(web: httpx.Client) -> list[str]:
    return [one["name"] for one in web.get("/api/deployments").json()]


def reach(live: LiveWorkshop, name: str, **facts: Any) -> dict[str, Any]:
    def reached() -> dict[str, Any]:
        now = live.facts(name)
        return now if facts.items() <= now.items() else {}

    return until(reached, f"{name} came to {facts}")


def test_a_model_is_deployed_under_its_own_name_unless_another_is_given(live: LiveWorkshop):
    live.model("good")
    with live.web("member") as web:
        answer = web.post("/api/deployments", json={"model": "good"})
        assert answer.status_code == 201
        assert answer.headers["location"] == "/api/deployments/good"
        facts = answer.json()
        assert (facts["name"], facts["model"], facts["version"]) == ("good", "good:1", 1)
        assert facts["mine"]
        assert facts["owner"] == live.people.user("member").id
        assert web.post("/api/deployments", json={"model": "good:1", "name": "tutor"}).status_code == 201
        assert names(web) == ["good", "tutor"]


def test_what_answers_tells_how_busy_it_is_and_what_it_wrote(live: LiveWorkshop):
    live.deploy("good")
    child = live.child("good")
    assert child.look(5)
    facts = live.facts("good")
    assert facts["state"] == "ready"
    assert facts["load"] == {"in_flight": 0, "rows": 4, "busy": 1, "waiting": 2}
    assert facts["starts"] == 1
    with live.web("owner") as web:
        assert web.get("/api/deployments/good/log").json()["lines"][0] == "loading good"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"model": "never-made"}, 404),
        ({"model": "good:7"}, 404),
        ({"model": "../good"}, 404),
        ({"name": "Not A Name"}, 422),
        ({"name": ""}, 422),
        ({"rows": 0}, 422),
        ({"threads": 0}, 422),
        ({"memory": -1}, 422),
        ({"unload_after": 1}, 422),
        ({"engine": "llama"}, 422),
        ({"engine": "vllm"}, 422),
        ({"command": "rm"}, 422),
    ],
)
def test_what_cannot_be_deployed_is_refused_and_leaves_nothing(
    live: LiveWorkshop, wrong: dict[str, object], status: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nowhere")
    live.model("good")
    with live.web("member") as web:
        answer = web.post("/api/deployments", json={"model": "good", "name": "tutor"} | wrong)
        assert answer.status_code == status, answer.text
        assert answer.json()["remedy"]
        assert names(web) == []


def test_vllm_is_refused_where_it_is_not_installed(live: LiveWorkshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    live.model("good")
    with live.web("member") as web:
        refused = web.post("/api/deployments", json={"model": "good", "engine": "vllm"}).json()
    assert "no program called vllm" in refused["detail"]
    assert "pip install vllm" in refused["remedy"]


def test_a_name_is_given_once(live: LiveWorkshop):
    live.deploy("good", person="educator", shared=False)
    with live.web("member") as web:
        answer = web.post("/api/deployments", json={"model": "good"})
        assert answer.status_code == 409
        assert names(web) == []


def test_what_is_not_shared_is_not_there_for_others_and_what_is_shared_is_not_theirs_to_change(live: LiveWorkshop):
    live.deploy("good", person="member", shared=False)
    changes = [
        ("POST", "/start", None),
        ("POST", "/stop", None),
        ("POST", "/versions", {"model": "good"}),
        ("POST", "/rollback", {}),
        ("PUT", "/share", None),
        ("DELETE", "/share", None),
        ("DELETE", "", None),
        ("GET", "/log", None),
    ]
    with live.web("another") as web, live.web("member") as own:
        assert names(web) == []
        for method, path, body in [("GET", "", None), ("GET", "/trace", None), *changes]:
            assert web.request(method, f"/api/deployments/good{path}", json=body).status_code == 404
        assert own.put("/api/deployments/good/share").status_code == 204
        assert names(web) == ["good"]
        assert not web.get("/api/deployments/good").json()["mine"]
        for method, path, body in changes:
            assert web.request(method, f"/api/deployments/good{path}", json=body).status_code == 403
        assert own.delete("/api/deployments/good/share").status_code == 204
        assert names(web) == []


def test_stopping_ends_the_process_and_starting_begins_another(live: LiveWorkshop):
    live.deploy("good")
    first = live.pid("good")
    with live.web("owner") as web:
        assert web.post("/api/deployments/good/stop").status_code == 200
        reach(live, "good", state="stopped", load=None)
        until(lambda: not psutil.pid_exists(first), "the process ended")
        assert web.post("/api/deployments/good/stop").status_code == 200
        assert web.post("/api/deployments/good/start").status_code == 200
        assert reach(live, "good", state="ready")["starts"] == 2
        assert web.post("/api/deployments/good/start").json()["starts"] == 2


def test_a_new_version_takes_over_and_can_be_taken_back(live_on_each: LiveWorkshop):
    live = live_on_each
    live.deploy("good")
    live.model("good")
    with live.web("owner") as web:
        answer = web.post("/api/deployments/good/versions", json={"model": "good"})
        assert answer.status_code == 202
        facts = reach(live, "good", version=2, model="good:2", state="ready", coming=None)
        assert [one["number"] for one in facts["versions"]] == [2, 1]
        until(lambda: live.gateway.deployments.all()[0].version == 2, "it was written down")
        assert web.post("/api/deployments/good/rollback", json={}).status_code == 202
        reach(live, "good", version=1, model="good:1", state="ready")
        until(lambda: live.gateway.deployments.all()[0].version == 1, "it was written down")
        assert web.post("/api/deployments/good/rollback", json={"version": 2}).status_code == 202
        reach(live, "good", version=2)
        assert web.post("/api/deployments/good/rollback", json={"version": 3}).status_code == 404


def test_the_first_version_has_none_before_it(live: LiveWorkshop):
    live.deploy("good")
    with live.web("owner") as web:
        assert web.post("/api/deployments/good/rollback", json={}).status_code == 409


def test_a_version_that_never_answers_changes_nothing_and_says_why(live: LiveWorkshop):
    live.deploy("good")
    first = live.pid("good")
    live.model("refuses")
    with live.web("owner") as web:
        web.post("/api/deployments/good/versions", json={"model": "refuses"})
        facts = until(lambda: (now := live.facts("good"))["versions"][0]["problem"] and now, "the version was refused")
        assert (facts["state"], facts["version"], facts["model"]) == ("ready", 1, "good:1")
        assert "There is no model called refuses" in facts["versions"][0]["problem"]
        assert live.pid("good") == first


def test_while_it_is_stopped_the_version_is_changed_at_once(live: LiveWorkshop):
    live.deploy("good")
    live.model("good")
    with live.web("owner") as web:
        web.post("/api/deployments/good/stop")
        web.post("/api/deployments/good/versions", json={"model": "good:2"})
        assert live.facts("good")["version"] == 2
        web.post("/api/deployments/good/start")
        reach(live, "good", state="ready", version=2)


def test_deleting_ends_the_process_and_frees_the_name(live: LiveWorkshop):
    live.deploy("good")
    first = live.pid("good")
    with live.web("owner") as web:
        assert web.delete("/api/deployments/good").status_code == 204
        until(lambda: not psutil.pid_exists(first), "its process ended")
        assert web.get("/api/deployments/good").status_code == 404
        assert web.delete("/api/deployments/good").status_code == 404
    live.deploy("good")
    assert live.facts("good")["versions"][0]["number"] == 1


def test_a_process_that_is_killed_is_started_again_and_the_workshop_goes_on(live: LiveWorkshop):
    live.deploy("good")
    os.kill(live.pid("good"), signal.SIGKILL)
    until(lambda: live.facts("good")["starts"] == 2, "it was started again")
    reach(live, "good", state="ready")
    assert httpx.get(f"{live.address}/health").status_code == 200


def test_a_model_that_fails_says_why_and_is_tried_again_by_hand(live: LiveWorkshop):
    live.deploy("dies")
    facts = reach(live, "dies", state="failed")
    assert "SIGKILL" in facts["note"]
    assert facts["starts"] == 3
    with live.web("owner") as web:
        web.post("/api/deployments/dies/start")
    reach(live, "dies", state="failed", starts=6)
