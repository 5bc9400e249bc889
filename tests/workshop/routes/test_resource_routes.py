"""What the machine is doing, over HTTP."""

from __future__ import annotations

import time

import psutil
import pytest
from fastapi.testclient import TestClient
from people import People

pytestmark = pytest.mark.one_database


def test_the_machine_is_seen_as_it_is(people: People):
    told = people.client("member").get("/api/resources").json()
    look, runs = told["look"], told["runs"]
    assert abs(look["time"] - time.time()) < 60
    assert len(look["processors"]) == psutil.cpu_count()
    assert 0 <= look["busy"] <= 1
    assert 0 < look["own_memory"] < look["memory_total"] <= psutil.virtual_memory().total
    assert 0 < look["disk_used"] < look["disk_total"]
    assert (runs["threads"], runs["threads_taken"], runs["at_work"]) == (2, 0, 0)


def test_the_history_has_at_least_the_first_look(client: TestClient):
    client.get("/api/resources")
    told = client.get("/api/resources/history", params={"seconds": 60}).json()
    assert len(told["looks"]) >= 1
    assert client.get("/api/resources/history", params={"seconds": 1e9}).status_code == 422
    assert client.get("/api/resources/history", params={"seconds": "nan"}).status_code == 422
