"""What every answer carries: the headers that keep pages locked, an id, and no more than a person needs to know."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from fastapi import FastAPI
from people import People

from glassbox.errors import BadInput
from glassbox.workshop.access.guards import LARGEST_BODY, allows
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.logs import JsonLines

pytestmark = pytest.mark.one_database


@pytest.fixture
def faulty(app: FastAPI) -> FastAPI:
    """The workshop with endpoints that go wrong in every way, and one that says nothing about whom it allows."""

    @app.get("/fault")
    @allows("everyone")
    def fault() -> None:
        raise RuntimeError(f"SELECT * FROM users WHERE name = 'x' -- {Path(__file__)}")

    @app.get("/away")
    @allows("everyone")
    def away() -> None:
        raise DatabaseAway("connection to server at 10.0.0.1 failed")

    @app.get("/mistake")
    @allows("everyone")
    def mistake() -> None:
        folder = app.state.workshop.workspace.folder
        raise BadInput(f"The file {folder}/runs/x/state.json is damaged.", f"Delete {folder}/runs/x.")

    @app.get("/silent")
    def silent() -> str:
        return "anyone?"

    return app


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/nothing", 404), ("/api/me", 401), ("/fault", 500), ("/away", 503), ("/mistake", 422)],
)
@pytest.mark.usefixtures("faulty")
def test_every_answer_carries_the_headers_that_lock_a_page(people: People, path: str, status: int):
    answer = people.client(None).get(path)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers["x-request-id"]) == 16
    if status >= 400:
        problem = answer.json()
        assert problem["id"] == answer.headers["x-request-id"]
        assert problem["status"] == status
        assert problem["remedy"]


@pytest.mark.parametrize("path", ["/fault", "/away", "/mistake"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
@pytest.mark.usefixtures("faulty")
def test_no_error_tells_a_traceback_a_path_or_sql(people: People, path: str, accept: str):
    text = people.client("owner").get(path, headers={"accept": accept}).text
    for leak in ("Traceback", "SELECT", ".py", "RuntimeError", "10.0.0.1", str(people.workshop.workspace.folder)):
        assert leak not in text


@pytest.mark.usefixtures("faulty")
def test_the_log_explains_a_fault_by_its_id(people: People, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        answer = people.client(None).get("/fault")
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    fault = next(line for line in lines if line["level"] == "error")
    assert "RuntimeError: SELECT" in fault["traceback"]
    answered = next(line for line in lines if line["message"] == "answered")
    assert (answered["path"], answered["status"]) == ("/fault", 500)
    assert answer.status_code == 500


@pytest.mark.usefixtures("faulty")
def test_an_endpoint_that_does_not_say_whom_it_allows_answers_nobody(people: People):
    for name in (None, "member", "owner"):
        assert people.client(name).get("/silent").status_code == 403


def test_a_body_that_is_larger_than_what_is_taken_is_refused_before_it_is_read(people: People):
    answer = people.client("owner").post("/api/keys", content=b" " * (LARGEST_BODY + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_does_not_say_how_long_it_is_is_counted_as_it_comes(people: People):
    taken = 0

    def pieces():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b" " * 1_000_000

    headers = {"content-type": "application/json"}
    answer = people.client("owner").post("/api/keys", content=pieces(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "body"),
        (b"{", "JSON"),
        (b"[]", "body"),
        (b'{"name": 3}', "name"),
        (b'{"name": "a", "colour": "red"}', "colour"),
        (b'{"name": "\\ud800"}', "name"),
        (b'{"name": "a\\u0000b"}', "name"),
        (b'{"name": "' + b"a" * 101 + b'"}', "name"),
        (b'{"name": "a", "days": 1e99}', "days"),
        (b'{"name": "a", "days": 99999999999999999999999}', "days"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "body"),
    ],
)
def test_a_body_that_cannot_be_used_is_told_by_its_field(people: People, body: bytes, says: str):
    answer = people.client("owner").post("/api/keys", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    problem = answer.json()
    assert says in problem["detail"] or says in problem.get("fields", {})


def test_a_browser_is_told_what_went_wrong_as_a_page(people: People):
    answer = people.client("owner").get("/api/runs/nothing/events", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is no run called &#39;nothing&#39;." in answer.text


def test_what_comes_from_outside_is_escaped_in_a_page(people: People):
    answer = people.client("owner").get("/static/%3Cscript%3E", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_browser_that_nobody_knows_is_told_how_to_come_in(people: People):
    answer = people.client(None).get("/api/audit", headers={"accept": "text/html"})
    assert answer.status_code == 401
    assert "glassbox workshop-link" in answer.text
