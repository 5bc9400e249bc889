"""The whole way of somebody's text: brought, looked into, collected by a run, read as a corpus; and what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from people import People
from uploading import brought

pytestmark = pytest.mark.one_database  # the parts of this way are tested on both

TALES = "".join(f'{{"title": {number}, "body": "tale number {number}"}}\n' for number in range(50)).encode()


@pytest.fixture
def ann(people: People) -> TestClient:
    return people.client("member")


def collect(client: TestClient, **settings: str) -> Any:
    answer = client.post("/api/stages/collect/runs", json={"settings": {"source": "files", **settings}})
    return answer.json() if answer.status_code == 201 else answer


def ended(client: TestClient, run: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (found := client.get(f"/api/runs/{run}").json())["state"] not in ("finished", "failed"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_a_text_is_brought_looked_into_collected_and_read(ann: TestClient, people: People) -> None:
    upload = brought(ann, TALES)
    while (found := ann.get(f"/api/uploads/{upload}").json())["state"] == "checking":
        time.sleep(0.05)
    assert found["state"] == "ready", found
    run = collect(ann, path=found["reference"], text_field="body")
    over = ended(ann, run["id"])
    assert over["state"] == "finished"
    assert over["settings"]["path"] == f"upload:{upload}"  # as it was given, so that it can be given again
    [corpus] = ann.get("/api/artifacts", params={"kind": "corpus"}).json()["artifacts"]
    documents = ann.get(f"/api/corpora/{corpus['id']}/documents", params={"skip": 48}).json()["documents"]
    assert [one["text"] for one in documents] == ["tale number 48", "tale number 49"]
    assert people.client("other member").get(f"/api/corpora/{corpus['id']}").status_code == 404
    assert ann.delete(f"/api/uploads/{upload}").status_code == 204


def test_no_file_of_the_server_and_of_nobody_else_is_collected(ann: TestClient, people: People) -> None:
    others = brought(people.client("other member"), TALES)
    for path in ("/etc/passwd", "../../etc/passwd", f"upload:{others}", "upload:../../etc/passwd", "download:x"):
        refused = collect(ann, path=path)
        assert refused.status_code == 422, refused
    assert ann.get("/api/runs").json()["runs"] == []


def test_an_upload_that_a_run_is_to_read_is_not_deleted(
    ann: TestClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people.workshop.executor, "start_next", lambda: None)  # the run stays in the queue
    upload = brought(ann, TALES)
    run = collect(ann, path=f"upload:{upload}")
    refused = ann.delete(f"/api/uploads/{upload}")
    assert refused.status_code == 409
    assert run["id"] in refused.json()["detail"]
    assert ann.post(f"/api/runs/{run['id']}/cancel").status_code < 300
    assert ann.delete(f"/api/uploads/{upload}").status_code == 204
