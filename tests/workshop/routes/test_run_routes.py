"""Runs over HTTP: started once, looked at, asked for things, and gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from people import ADDRESS, People
from rehearsals import started, until, wait_until

import glassbox.stages
from glassbox.workshop.app import create_app
from glassbox.workshop.jobs.attempt_process import output_file
from glassbox.workshop.jobs.launchers.interface import Handle
from glassbox.workshop.state import Workshop
from glassbox.workspace import Workspace
from glassbox.workspace.run import State
from glassbox.workspace.saved_steps import step_folder

TESTS = Path(__file__).resolve().parents[2]
LONG = {"steps": 100_000, "pause": 0.02}


@pytest.fixture(autouse=True)
def rehearse_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rehearse` is a stage here and in every process that is started."""
    folder = str(TESTS / "stages" / "demonstration")
    monkeypatch.setattr(glassbox.stages, "__path__", [*glassbox.stages.__path__, folder])
    monkeypatch.setenv("PYTHONPATH", str(TESTS / "workshop" / "jobs" / "launchers" / "rehearsing"))


@pytest.fixture
def app(settings: Any, rehearse_everywhere: None) -> Iterator[FastAPI]:
    """A running workshop; what it started is killed at the end."""
    made = create_app(settings)
    with TestClient(made, base_url=ADDRESS):
        yield made
        workshop: Workshop = made.state.workshop
        workshop.scheduler.stop()
        for job in workshop.executor.queue.live():
            if job.handle is not None:
                workshop.executor._launchers[job.launcher].kill(Handle.model_validate_json(job.handle))


@pytest.fixture
def workspace(app: FastAPI) -> Workspace:
    return app.state.workshop.workspace


@pytest.fixture
def resting(app: FastAPI) -> Workshop:
    """The workshop, with nobody who works off its queue."""
    workshop: Workshop = app.state.workshop
    workshop.scheduler.stop()
    return workshop


def ended(workspace: Workspace, state: State, steps: tuple[int, ...] = ()) -> str:
    """A run of the command line that is over, with checkpoints."""
    run = workspace.runs.create("rehearse", name="plays", settings={"steps": 3}, inputs={})
    attempt = workspace.runs.begin(run)
    for step in steps:
        step_folder(attempt.checkpoints, step).mkdir()
        (step_folder(attempt.checkpoints, step) / "weights").write_text(str(step))
    (attempt.checkpoints / "decisions.json").write_text("{}")
    attempt.end(state)
    return run.id


# From the start to the end


def test_a_run_is_asked_for_done_and_described(client: TestClient):
    run = started(client, {"steps": 4, "loud": True}, name="hamlet")
    told = until(client, run, "finished")
    assert told["settings"] | {"steps": 4, "loud": True} == told["settings"]
    assert told["name"] == "hamlet"
    assert told["outputs"]["report"]["reference"] == "hamlet:1"
    assert told["result"]["steps"] == 4
    assert told["attempts"] == [{"number": 1, "has_log": True, "has_traceback": False}]
    assert (told["failure"], told["why"]) == (None, None)
    assert told["possible"] == ["retry", "fork", "delete"]
    assert told["started"] <= told["ended"]
    assert [line["id"] for line in client.get("/api/runs").json()["runs"]] == [run]


def test_a_run_is_paused_goes_on_and_is_given_up(client: TestClient):
    run = started(client, LONG)
    until(client, run, "running")
    assert client.post(f"/api/runs/{run}/pause").status_code == 200
    assert until(client, run, "paused")["possible"] == ["resume", "cancel", "priority", "fork"]
    assert client.post(f"/api/runs/{run}/pause").status_code == 200
    assert client.post(f"/api/runs/{run}/resume", json={}).status_code == 200
    until(client, run, "running")
    assert client.post(f"/api/runs/{run}/resume", json={}).status_code == 200
    assert client.post(f"/api/runs/{run}/cancel").status_code == 200
    until(client, run, "cancelled")
    assert client.post(f"/api/runs/{run}/cancel").status_code == 200
    refused = client.post(f"/api/runs/{run}/resume", json={})
    assert refused.status_code == 409
    assert refused.json()["detail"] == f"The run {run} is cancelled."
    assert refused.json()["remedy"] == "Possible now: retry, fork, delete."


def test_a_run_that_failed_says_why_and_can_be_resumed(client: TestClient):
    run = started(client, {"ending": "bad-input"})
    told = until(client, run, "failed")
    assert told["failure"] == {"problem": "The rehearsal was meant to fail.", "remedy": "Choose another ending."}
    assert told["possible"] == ["resume", "retry", "fork", "delete"]
    assert client.post(f"/api/runs/{run}/resume", json={}).status_code == 200
    wait_until(lambda: client.get(f"/api/runs/{run}").json()["attempt"] == 2)
    until(client, run, "failed")


def test_a_fault_of_ours_leaves_its_traceback_in_the_log(client: TestClient):
    run = started(client, {"ending": "fault"})
    told = until(client, run, "failed")
    assert told["failure"] == {"problem": "RuntimeError: a fault of ours", "remedy": None}
    wait_until(lambda: client.get(f"/api/runs/{run}/log").json()["output_bytes"])
    log = client.get(f"/api/runs/{run}/log").json()
    assert "a fault of ours" in log["traceback"]
    assert len(client.get(f"/api/runs/{run}/log", params={"most": 10}).json()["traceback"]) == 10
    assert client.get(f"/api/runs/{run}/log", params={"attempt": 2}).status_code == 404


# Starting once


def test_a_double_click_starts_one_run(client: TestClient, resting: Workshop):
    body = {"settings": {"steps": 3}}
    answers = [
        client.post("/api/stages/rehearse/runs", json=body, headers={"Idempotency-Key": "click"}) for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert answers[0].headers["Location"] == f"/api/runs/{answers[0].json()['id']}"
    assert len(client.get("/api/runs").json()["runs"]) == 1


def test_the_same_key_with_another_question_is_refused(client: TestClient, resting: Workshop):
    key = {"Idempotency-Key": "click"}
    first = client.post("/api/stages/rehearse/runs", json={}, headers=key).json()["id"]
    other = client.post("/api/stages/rehearse/runs", json={"settings": {"steps": 9}}, headers=key)
    assert other.status_code == 409
    assert first in other.json()["detail"]
    assert client.post(f"/api/runs/{first}/fork", json={}, headers=key).status_code == 409


def test_a_key_whose_run_lost_its_server_half_way_gives_that_run(client: TestClient, resting: Workshop, monkeypatch):
    def killed(*_arguments: object) -> None:
        raise RuntimeError("the server is gone in this very moment")

    key = {"Idempotency-Key": "click"}
    monkeypatch.setattr("glassbox.workshop.jobs.executor.publish", killed)
    assert client.post("/api/stages/rehearse/runs", json={}, headers=key).status_code == 500
    monkeypatch.undo()
    assert client.get("/api/runs").json()["runs"] == []
    monkeypatch.setattr(
        glassbox.stages, "__path__", [*glassbox.stages.__path__, str(TESTS / "stages" / "demonstration")]
    )
    answer = client.post("/api/stages/rehearse/runs", json={}, headers=key)
    assert (answer.status_code, answer.json()["state"]) == (201, "waiting")


def test_the_keys_of_two_people_are_two_keys(people: People, resting: Workshop):
    key = {"Idempotency-Key": "click"}
    ids = {
        people.client(name).post("/api/stages/rehearse/runs", json={}, headers=key).json()["id"]
        for name in ("ada", "grace")
    }
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "with space", "ä", "x" * 101])
def test_a_key_that_is_none_is_refused(client: TestClient, key: str):
    answer = client.post("/api/stages/rehearse/runs", json={}, headers={"Idempotency-Key": key.encode()})
    assert answer.status_code == 422


# Waiting


def test_a_waiting_run_says_what_it_waits_for_and_where_it_stands(client: TestClient, resting: Workshop):
    first = started(client, resources={"threads": 2, "memory": 1})
    second = started(client, resources={"threads": 2, "memory": 1})
    told = client.get(f"/api/runs/{second}").json()
    assert (told["state"], told["queue"]["position"]) == ("waiting", 2)
    assert told["why"] == "It waits for 2 CPU threads (0 free)."
    assert client.put(f"/api/runs/{second}/priority", json={"priority": 7}).json()["queue"]["position"] == 1
    assert client.get(f"/api/runs/{first}").json()["queue"]["position"] == 2


def test_a_run_that_could_never_start_is_refused_at_once(client: TestClient, workspace: Workspace):
    answer = client.post("/api/stages/rehearse/runs", json={"resources": {"threads": 64}})
    assert answer.status_code == 422
    assert "64 CPU threads (2 in all)" in answer.json()["detail"]
    assert workspace.runs.list() == []


def test_a_waiting_run_is_cancelled_at_once(client: TestClient, resting: Workshop):
    run = started(client)
    answer = client.post(f"/api/runs/{run}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")


# What isn't possible


@pytest.mark.parametrize(
    ("state", "action", "body"),
    [
        ("finished", "pause", None),
        ("finished", "resume", {}),
        ("finished", "cancel", None),
        ("failed", "pause", None),
        ("failed", "cancel", None),
        ("interrupted", "pause", None),
        ("cancelled", "pause", None),
    ],
)
def test_what_is_not_possible_is_a_conflict_that_says_what_is(client, workspace, state, action, body):
    run = ended(workspace, state)
    answer = client.post(f"/api/runs/{run}/{action}", **({} if body is None else {"json": body}))
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"The run {run} is {state}."
    assert answer.json()["remedy"].startswith("Possible now: ")
    assert workspace.runs.get(run).state == state


def test_a_run_of_the_command_line_is_left_to_whoever_runs_it(client: TestClient, workspace: Workspace):
    run = workspace.runs.create("rehearse", name="plays", settings={}, inputs={})
    attempt = workspace.runs.begin(run)
    assert client.get(f"/api/runs/{run.id}").json()["possible"] == []
    for action in ("pause", "cancel", "retry"):
        answer = client.post(f"/api/runs/{run.id}/{action}")
        assert (answer.status_code, "command line" in answer.json()["detail"]) == (409, True)
    assert client.delete(f"/api/runs/{run.id}").status_code == 409
    attempt.end("finished")
    assert client.get(f"/api/runs/{run.id}").json()["state"] == "finished"


def test_a_run_of_the_command_line_that_was_interrupted_goes_on_here(client: TestClient, workspace: Workspace):
    run = ended(workspace, "interrupted")
    assert client.post(f"/api/runs/{run}/resume", json={}).status_code == 200
    assert until(client, run, "finished")["attempt"] == 2


def test_a_checkpoint_that_is_not_there_is_refused(client: TestClient, workspace: Workspace, resting: Workshop):
    run = ended(workspace, "interrupted", steps=(5, 10))
    answer = client.post(f"/api/runs/{run}/resume", json={"from_checkpoint": 7})
    assert answer.status_code == 422
    assert answer.json()["remedy"] == "Those there: 5, 10."
    assert client.post(f"/api/runs/{run}/fork", json={"from_checkpoint": 7}).status_code == 422
    assert client.post(f"/api/runs/{run}/resume", json={"from_checkpoint": 5}).status_code == 200
    assert client.get(f"/api/runs/{run}").json()["state"] == "waiting"


# Again, and from here


def test_the_same_again_is_a_new_run_with_the_same_settings(client: TestClient, workspace: Workspace):
    first = started(client, {"steps": 5}, name="hamlet", priority=3)
    until(client, first, "finished")
    answer = client.post(f"/api/runs/{first}/retry", headers={"Idempotency-Key": "again"})
    assert answer.status_code == 201
    second = answer.json()
    assert second["id"] != first
    assert (second["settings"]["steps"], second["name"], second["queue"]["priority"]) == (5, "hamlet", 3)
    assert second["origin"] == {"run": first, "step": None}
    again = client.post(f"/api/runs/{first}/retry", headers={"Idempotency-Key": "again"}).json()
    assert again["id"] == second["id"]
    until(client, second["id"], "finished")


def test_a_fork_begins_with_what_the_other_run_had_saved(client: TestClient, workspace: Workspace, resting: Workshop):
    first = ended(workspace, "finished", steps=(5, 10))
    answer = client.post(f"/api/runs/{first}/fork", json={"from_checkpoint": 5, "name": "other"})
    assert answer.status_code == 201
    fork = answer.json()
    assert fork["origin"] == {"run": first, "step": 5}
    assert [one["step"] for one in fork["checkpoints"]] == [5]
    checkpoints = workspace.runs.get(fork["id"]).checkpoints
    assert (step_folder(checkpoints, 5) / "weights").read_text() == "5"
    assert (checkpoints / "decisions.json").exists()
    assert client.get(f"/api/runs/{first}").json()["checkpoints"] == [{"step": 5, "bytes": 1}, {"step": 10, "bytes": 2}]


def test_a_fork_from_the_beginning_may_differ_in_everything(
    client: TestClient, workspace: Workspace, resting: Workshop
):
    first = ended(workspace, "finished")
    answer = client.post(f"/api/runs/{first}/fork", json={"settings": {"steps": 8, "loud": True}})
    assert answer.status_code == 201
    assert answer.json()["settings"]["steps"] == 8
    assert client.post(f"/api/runs/{first}/fork", json={"settings": {"steps": -8}}).status_code == 422


def test_a_fork_from_a_checkpoint_may_differ_where_that_keeps_its_meaning(client, workspace, resting):
    first = ended(workspace, "finished", steps=(5,))
    answer = client.post(f"/api/runs/{first}/fork", json={"from_checkpoint": 5, "settings": {"steps": 8}})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "A run that goes on from a checkpoint can't differ in steps."


# What is listed


def test_runs_are_found_by_what_is_known_of_them(people: People, resting: Workshop):
    ada, grace = people.client("ada"), people.client("grace")
    mine = [started(ada, name=name) for name in ("hamlet", "lear")]
    theirs = started(grace, name="hamlet")
    owner = people.client("owner")

    def ids(client: TestClient, **query: Any) -> list[str]:
        return [run["id"] for run in client.get("/api/runs", params=query).json()["runs"]]

    assert ids(ada) == mine[::-1]
    assert ids(owner) == [theirs, *mine[::-1]]
    assert ids(owner, text="HAMLET") == [theirs, mine[0]]
    assert ids(owner, owner="Ada") == mine[::-1]
    assert ids(owner, state=["waiting", "running"]) == [theirs, *mine[::-1]]
    assert ids(owner, state="finished") == []
    assert ids(owner, stage="rehearse", text=mine[1][-6:]) == [mine[1]]
    assert ids(owner, stage="pretrain") == []


@pytest.mark.parametrize("query", [{}, {"owner": "ada"}])
def test_pages_give_every_run_once(people: People, resting: Workshop, query: dict[str, str]):
    client = people.client("ada")
    runs = [started(client) for _ in range(5)]
    found, cursor = [], None
    while True:
        page = client.get("/api/runs", params={"limit": 2, **query, **({"cursor": cursor} if cursor else {})}).json()
        found += [run["id"] for run in page["runs"]]
        if (cursor := page["next"]) is None:
            break
    assert found == runs[::-1]


def test_a_damaged_run_is_listed_with_what_is_wrong(client: TestClient, workspace: Workspace, resting: Workshop):
    run = started(client)
    (workspace.runs.folder / run / "run.json").write_text("{")
    (line,) = client.get("/api/runs").json()["runs"]
    assert line["state"] is None
    assert "is damaged" in line["problem"]
    assert client.get(f"/api/runs/{run}").status_code == 422


# Whose it is


def test_other_peoples_runs_are_not_there(people: People, resting: Workshop):
    run = started(people.client("ada"))
    other, educator = people.client("grace"), people.client("educator")
    assert other.get("/api/runs").json()["runs"] == []
    asked = [
        ("GET", "", None), ("GET", "/log", None), ("POST", "/pause", None), ("POST", "/resume", {}),
        ("POST", "/cancel", None), ("PUT", "/priority", {"priority": 1}), ("POST", "/retry", None),
        ("POST", "/fork", {}), ("DELETE", "", None), ("DELETE", "/checkpoints", None),
    ]  # fmt: skip
    for method, path, body in asked:
        words = {} if body is None else {"json": body}
        assert other.request(method, f"/api/runs/{run}{path}", **words).status_code == 404, (method, path)
        allowed = 200 if method == "GET" else 201 if path == "/fork" else 403
        assert educator.request(method, f"/api/runs/{run}{path}", **words).status_code == allowed, (method, path)


def test_inputs_are_only_those_that_a_person_sees(people: People, workspace: Workspace, resting: Workshop):
    with workspace.artifacts.draft("corpus", "secret") as draft:
        (draft.folder / "text").write_text("text")
    answer = people.client("ada").post("/api/stages/rehearse/runs", json={"inputs": {"corpus": "secret"}})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "There is no corpus called 'secret'."
    assert people.client("owner").post("/api/stages/rehearse/runs", json={"inputs": {"corpus": "secret"}}).is_success


# Deleting


def test_a_run_is_deleted_once_it_is_over(client: TestClient, workspace: Workspace, resting: Workshop):
    run = started(client)
    assert client.delete(f"/api/runs/{run}").status_code == 409
    client.post(f"/api/runs/{run}/cancel")
    assert client.delete(f"/api/runs/{run}").status_code == 204
    assert client.get(f"/api/runs/{run}").status_code == 404
    assert client.delete(f"/api/runs/{run}").status_code == 404
    assert resting.executor.queue.get(run) is None
    assert workspace.runs.list() == []


def test_checkpoints_are_deleted_if_nobody_needs_them(client: TestClient, workspace: Workspace, resting: Workshop):
    finished, stopped = ended(workspace, "finished", (5,)), ended(workspace, "interrupted", (5,))
    assert client.delete(f"/api/runs/{finished}/checkpoints").json() == {"bytes": 3}
    refused = client.delete(f"/api/runs/{stopped}/checkpoints")
    assert refused.status_code == 409
    assert "even_if_needed" in refused.json()["remedy"]
    assert client.delete(f"/api/runs/{stopped}/checkpoints", params={"even_if_needed": True}).status_code == 200
    assert client.get(f"/api/runs/{stopped}").json()["checkpoints"] == []
    client.post(f"/api/runs/{stopped}/resume", json={})
    assert client.delete(f"/api/runs/{stopped}/checkpoints").status_code == 409


def test_a_log_is_read_as_text_whatever_it_holds(client: TestClient, workspace: Workspace, resting: Workshop):
    run = ended(workspace, "finished")
    output_file(workspace.runs.folder / run, 1).write_bytes(b"before \xff\x00 after")
    log = client.get(f"/api/runs/{run}/log").json()
    assert (log["output"], log["output_bytes"]) == ("before �\x00 after", 15)


def test_no_answer_says_where_the_workspace_lies(client: TestClient, workspace: Workspace, resting: Workshop):
    run = workspace.runs.create("rehearse", name="plays", settings={"where": "/home/ada/secret.txt"}, inputs={})
    told = client.get(f"/api/runs/{run.id}")
    assert told.json()["settings"]["where"] == "secret.txt"
    answer = client.post("/api/stages/rehearse/runs", json={"settings": {"where": "/etc/passwd"}})
    assert answer.status_code == 422
    assert str(workspace.folder) not in told.text + answer.text
    fork = client.post(f"/api/runs/{run.id}/fork", json={"settings": {"steps": 2}})
    assert fork.status_code == 422


@pytest.mark.parametrize("run", ["..", "%2e%2e", "a/b", "%00", "x" * 200, "REHEARSE-abc"])
def test_an_id_that_is_none_is_not_there(client: TestClient, run: str):
    assert client.get(f"/api/runs/{run}").status_code in (400, 404, 422)
