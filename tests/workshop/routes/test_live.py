"""Events and curves of a run over HTTP and a WebSocket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from people import ADDRESS, SOCKET_ADDRESS, People
from starlette.websockets import WebSocketDisconnect

from glassbox.workshop.routes import live
from glassbox.workshop.state import Workshop
from glassbox.workspace import Run
from glassbox.workspace.attempt import Attempt

STEPS = 2500


@pytest.fixture
def workshop(people: People) -> Workshop:
    return people.workshop


def start(workshop: Workshop) -> tuple[Run, Attempt]:
    """A run that is at work, in this process."""
    run = workshop.workspace.runs.create("pretrain", name="small", settings={}, inputs={})
    return run, workshop.workspace.runs.begin(run)


@pytest.fixture
def finished(workshop: Workshop) -> Run:
    """A run with thousands of steps, one of which stands out."""
    run, attempt = start(workshop)
    for step in range(STEPS):
        attempt.record("metrics", step=step, values={"loss": 100.0 if step == 777 else 3 / (1 + step), "nan": "NaN"})
    attempt.end("finished", result={})
    return run


def received(client: TestClient, path: str, **headers: str) -> Iterator[dict[str, Any]]:
    """Every message of a WebSocket until it is closed."""
    with client.websocket_connect(SOCKET_ADDRESS + path, headers=headers) as socket:
        while True:
            try:
                yield socket.receive_json()
            except WebSocketDisconnect:
                return


def events_of(messages: Iterator[dict[str, Any]]) -> list[int]:
    return [event["sequence"] for message in messages for event in message.get("events", [])]


def test_events_come_page_by_page(client: TestClient, finished: Run):
    numbers, first = [], 0
    while True:
        page = client.get(f"/api/runs/{finished.id}/events", params={"first": first, "most": 900}).json()
        if not page["events"]:
            break
        numbers += [event["sequence"] for event in page["events"]]
        first = page["next"]
    assert numbers == list(range(STEPS + 2))
    assert page["count"] == STEPS + 2


def test_who_comes_late_gets_every_event_once_and_is_told_the_end(client: TestClient, finished: Run):
    messages = list(received(client, f"/api/runs/{finished.id}/watch"))
    assert events_of(iter(messages)) == list(range(STEPS + 2))
    assert messages[-1] == {"state": "finished"}
    assert len(messages) == 3  # thousands of events travel together


def test_who_was_away_goes_on_from_the_number_they_had(client: TestClient, finished: Run):
    assert events_of(received(client, f"/api/runs/{finished.id}/watch?first=2490")) == list(range(2490, STEPS + 2))


def test_who_watches_sees_what_happens_while_it_happens(client: TestClient, workshop: Workshop):
    run, attempt = start(workshop)

    def work() -> None:
        for step in range(50):
            attempt.record("metrics", step=step, values={"loss": 1.0})
        attempt.end("finished", result={})

    messages: list[dict[str, Any]] = []
    worker = threading.Thread(target=work)
    for message in received(client, f"/api/runs/{run.id}/watch"):
        messages.append(message)
        if message == {"state": "running"}:
            worker.start()
    worker.join()
    assert events_of(iter(messages)) == list(range(52))
    assert [message["state"] for message in messages if "state" in message] == ["running", "finished"]


def test_a_run_that_is_deleted_while_someone_watches_says_so(client: TestClient, workshop: Workshop):
    run, attempt = start(workshop)
    attempt.end("interrupted")
    states = []
    for message in received(client, f"/api/runs/{run.id}/watch"):
        if "state" in message:
            states.append(message["state"])
            if message["state"] == "interrupted":
                workshop.workspace.runs.delete(run.id)
    assert states == ["interrupted", "deleted"]


def test_nobody_is_still_looked_at_when_the_last_watcher_has_left(client: TestClient, workshop: Workshop):
    run, attempt = start(workshop)
    with client.websocket_connect(f"{SOCKET_ADDRESS}/api/runs/{run.id}/watch") as socket:
        assert "events" in socket.receive_json()
        assert workshop.watching.watched == 1
    attempt.end("cancelled")
    assert workshop.watching.watched == 0


@pytest.mark.parametrize("name", [None, "stranger"])
def test_only_those_who_may_see_a_run_can_watch_it(people: People, finished: Run, name: str | None):
    browser = people.client(name)
    code = 4401 if name is None else 4404
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        browser.websocket_connect(f"{SOCKET_ADDRESS}/api/runs/{finished.id}/watch"),
    ):
        pass
    assert refused.value.code == code
    for question in ("events", "curves"):
        assert browser.get(f"/api/runs/{finished.id}/{question}").status_code == (401 if name is None else 404)


def test_a_page_of_another_site_cannot_watch(client: TestClient, finished: Run):
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(
            f"{SOCKET_ADDRESS}/api/runs/{finished.id}/watch", headers={"origin": "https://elsewhere.example"}
        ),
    ):
        pass
    assert events_of(received(client, f"/api/runs/{finished.id}/watch?first=2501", origin=ADDRESS)) == [2501]


def test_whoever_logs_out_stops_watching(people: People, workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "_ADMITTED_EVERY", 0.05)
    run, attempt = start(workshop)
    browser = people.client("owner")
    with browser.websocket_connect(f"{SOCKET_ADDRESS}/api/runs/{run.id}/watch") as socket:
        assert "events" in socket.receive_json()
        assert socket.receive_json() == {"state": "running"}
        workshop.sessions.end_all(people.user("owner").id)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 4401
    attempt.end("cancelled")


def test_curves_are_thinned_and_keep_what_stands_out(client: TestClient, finished: Run):
    curves = client.get(f"/api/runs/{finished.id}/curves", params={"points": 50, "metric": "loss"}).json()["curves"]
    assert curves.keys() == {"loss"}
    loss = curves["loss"]
    assert len(loss["steps"]) == len(loss["values"]) <= 50
    assert loss["points"] == STEPS
    assert (777, 100.0) in zip(loss["steps"], loss["values"], strict=True)
    assert (loss["steps"][0], loss["steps"][-1]) == (0, STEPS - 1)


def test_a_part_of_a_curve_is_shown_in_full(client: TestClient, finished: Run):
    asked = {"first_step": 100, "last_step": 149, "points": 50}
    curves = client.get(f"/api/runs/{finished.id}/curves", params=asked).json()["curves"]
    assert curves["loss"]["steps"] == list(range(100, 150))
    assert set(curves["nan"]["values"]) == {None}


def test_a_curve_that_grew_is_shown_as_it_is_now(client: TestClient, workshop: Workshop):
    run, attempt = start(workshop)
    attempt.record("metrics", step=1, values={"loss": 2.0})
    assert client.get(f"/api/runs/{run.id}/curves").json()["curves"]["loss"]["steps"] == [1]
    attempt.record("metrics", step=2, values={"loss": 1.0})
    attempt.record("metrics", step=1, values={"loss": 1.5})  # done again after a resume
    assert client.get(f"/api/runs/{run.id}/curves").json()["curves"]["loss"]["values"] == [1.5, 1.0]
    attempt.end("cancelled")
    assert client.get(f"/api/runs/{run.id}/curves", params={"metric": "unknown"}).json() == {"curves": {}}


@pytest.mark.parametrize("run", ["..", "%2e%2e", "x", "a%00b", "pretrain-", "x" * 99])
def test_a_run_that_is_not_there_is_not_found(client: TestClient, run: str):
    assert client.get(f"/api/runs/{run}/curves").status_code in (400, 404)  # 400: it holds what no name may hold
