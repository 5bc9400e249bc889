"""Waiting for runs that a real workshop works off."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Until it holds; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def started(client: TestClient, settings: dict[str, Any] | None = None, **fields: Any) -> str:
    """The id of a run of `rehearse` that was asked for."""
    fields.setdefault("resources", {"memory": 10**6})
    answer = client.post("/api/stages/rehearse/runs", json={"settings": settings or {}, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def state_of(client: TestClient, run: str) -> str:
    return client.get(f"/api/runs/{run}").json()["state"]


def until(client: TestClient, run: str, *states: str) -> dict[str, Any]:
    """The run, once it is in one of these states and nothing more is to be done about it."""
    wait_until(lambda: state_of(client, run) in states)
    return client.get(f"/api/runs/{run}").json()
