"""`glassbox workshop` as a process: it says where it is once it answers, logs in JSON, and ends when it is told to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from databases import ONE_DATABASE
from postgresql_server import PostgresqlServer

from glassbox.cli.main import run
from glassbox.workshop.settings import DATABASE_VARIABLE


@pytest.fixture(autouse=True)
def its_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without tables: SQLite's comes by itself."""
    if ONE_DATABASE == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        monkeypatch.setenv(DATABASE_VARIABLE, server.empty_database())


@pytest.fixture
def workshop(own_workspace: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "glassbox", "workshop", "--port", "0", "--log-level", "info"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_at_the_address_that_it_prints_and_ends_when_it_is_told_to(
    workshop: subprocess.Popen[str], how: signal.Signals
):
    assert workshop.stdout is not None
    way_in = workshop.stdout.readline().strip()
    address = way_in.partition("/open")[0]
    assert address.startswith("http://127.0.0.1:")
    health = httpx.get(f"{address}/health")
    assert health.json()["status"] == "well"
    with httpx.Client() as browser:
        assert browser.get(way_in).status_code == 200
        assert browser.get(f"{address}/api/me").json()["role"] == "owner"
    port = address.rpartition(":")[2]
    assert run(["workshop-link", "--port", port]) == 0
    workshop.send_signal(how)
    _, errors = workshop.communicate(timeout=30)
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    answered = [line for line in lines if line["message"] == "answered" and line["path"] == "/health"]
    assert answered[0]["request"] == health.headers["x-request-id"]
    assert answered[0]["status"] == 200
    token = way_in.rpartition("=")[2]
    assert token not in errors


def test_another_address_is_printed_for_another_browser(
    workshop: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
):
    assert workshop.stdout is not None
    address = workshop.stdout.readline().strip().partition("/open")[0]
    assert run(["workshop-link", "--port", address.rpartition(":")[2]]) == 0
    way_in = capsys.readouterr().out.strip()
    assert way_in.startswith(f"{address}/open?token=")
    assert httpx.get(way_in).status_code == 200
    assert httpx.get(way_in).status_code == 401


def test_a_port_that_is_taken_is_told(workshop: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]):
    assert workshop.stdout is not None
    port = workshop.stdout.readline().partition("/open")[0].rpartition(":")[2]
    assert run(["workshop", "--port", port]) == 2
    told = capsys.readouterr().err
    assert f"port {port}" in told
    assert "--port" in told


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0", "--port", "0"], "no accounts"),
        (["--people", "many", "--port", "0"], "needs an owner"),
        (["--host", "not an address", "--port", "0"], "not an address"),
        (["--database", "mysql://x"], "SQLite or PostgreSQL"),
    ],
)
def test_what_cannot_be_opened_is_told_in_two_sentences(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
):
    assert run(["workshop", *options]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert "→" in told
