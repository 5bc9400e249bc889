"""Three runs of a real workshop, while everything that can be killed is killed, at random moments.

    GLASSBOX_KILLS=50 python -m pytest tests/workshop/test_chaos.py

The server and the runs' processes get SIGKILL; the database is taken away: PostgreSQL ends all connections, SQLite's
file is locked by another program. In the end no run is lost or doubled, no event is missing or repeated, neither in the
file nor for someone who watched all the while, and the models are, to the bit, what undisturbed training makes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import websockets.exceptions
import websockets.sync.client

from glassbox.data.shard_writer import ShardWriter
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workshop.accounts.keys import ApiKeys
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.launchers.bearers import TOKEN_VARIABLE
from glassbox.workspace import Workspace

KILLS = int(os.environ.get("GLASSBOX_KILLS", "6"))
RUNS = ("one", "two", "three")
TEXT = "the cat sat on the mat and the dog ate the cake that the cat had made for the man with the hat. "
SETTINGS: dict[str, Any] = {
    "model": {"context": 16, "width": 16, "layers": 2, "heads": 2},
    "batch_size": 8, "steps": 300 + 150 * KILLS, "threads": 1, "precision": "fp32", "sample_tokens": 8, "device": "cpu",
    "evaluate_every": 100, "sample_every": 200, "checkpoint_every": 25,
}  # fmt: skip
PATIENCE = 240.0 + 12.0 * KILLS  # seconds until all must be over
CALM = (0.3, 3.0)  # seconds between two kills

pytestmark = pytest.mark.slow


class Server:
    """`glassbox workshop` as a process, that can be killed and started again at the same address."""

    def __init__(self, workspace: Path, database_url: str | None, log: Path) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        database = [] if database_url is None else ["--database", database_url]
        self._command = [sys.executable, "-m", "glassbox", "workshop", "--port", str(self.port), "--threads", "3"]
        self._command += ["--workspace", str(workspace), *database]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


class Watcher(threading.Thread):
    """Follows a run through the server, whatever happens to it, and keeps what it is told."""

    def __init__(self, server: Server, run: str, key: str) -> None:
        super().__init__(daemon=True)
        self._address = f"ws://127.0.0.1:{server.port}/api/runs/{run}/watch"
        self._headers = {"Authorization": f"Bearer {key}"}
        self.numbers: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        first = 0
        while not self.over.is_set():
            try:
                with websockets.sync.client.connect(
                    f"{self._address}?first={first}", additional_headers=self._headers, open_timeout=10
                ) as socket_:
                    for message in map(json.loads, socket_):
                        self.numbers += [event["sequence"] for event in message.get("events", [])]
                        first = message.get("next", first)
                return  # the server closed it: the run is over
            except (OSError, TimeoutError, websockets.exceptions.WebSocketException):
                time.sleep(0.2)


@contextmanager
def a_workshop(workspace: Path, database_url: str | None) -> Iterator[Server]:
    server = Server(workspace, database_url, workspace.parent / "server.log")
    server.start()
    try:
        yield server
    finally:
        server.kill()
        for process in processes_of_runs(workspace):
            process.kill()


def processes_of_runs(workspace: Path) -> list[psutil.Process]:
    """The living processes that were started for runs of this workspace."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if TOKEN_VARIABLE in process.environ() and str(workspace) in process.cmdline():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def make_inputs(workspace: Workspace) -> None:
    """Shards by characters, and the tokenizer that made them."""
    tokenizer = CharacterTokenizer.train([TEXT])
    with (letters := workspace.artifacts.draft("tokenizer", "letters")):
        tokenizer.save(letters.folder)
    with (draft := workspace.artifacts.draft("shards", "cats", parents=[letters.artifact])):
        size, reference, end = tokenizer.vocabulary_size, letters.artifact.reference, tokenizer.end_of_text
        with ShardWriter(draft.folder, vocabulary_size=size, tokenizer=reference, end_of_text=end) as writer:
            for split, documents in {"train": [TEXT] * 30, "validation": [TEXT[20:], TEXT[40:]]}.items():
                writer.append(split, tokenizer.encode_arrays(documents), len("".join(documents).encode()))


def undisturbed(workspace: Workspace) -> bytes:
    """The weights' file of a run that nobody kills, in a process of its own."""
    record = workspace.runs.describe(
        "pretrain",
        name="calm",
        settings=SETTINGS,
        inputs={
            "shards": workspace.artifacts.get("shards", "cats"),
            "tokenizer": workspace.artifacts.get("tokenizer", "letters"),
        },
    )
    workspace.runs.publish(record)
    command = [sys.executable, "-m", "glassbox.workshop.jobs.attempt_process", record.id, "--attempt", "1"]
    subprocess.run(
        [*command, "--workspace", str(workspace.folder)], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return weights(workspace, "calm")


def weights(workspace: Workspace, name: str) -> bytes:
    (file,) = workspace.artifacts.get("model", name).folder.glob("*.safetensors")
    return file.read_bytes()


def take_the_database_away(workspace: Path, database_url: str | None, seconds: float) -> None:
    if database_url is not None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return
    with closing(sqlite3.connect(workspace / "workshop.db", timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def start_runs(server: Server, key: str) -> dict[str, str]:
    """Ask for the three runs until the server has heard, which may have been before; name -> id."""
    runs: dict[str, str] = {}
    address = f"{server.address}/api/stages/pretrain/runs"
    for name in RUNS:
        body = {"settings": SETTINGS, "name": name, "resources": {"memory": 10**6}, "retries": 1000}
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name}
        deadline = time.monotonic() + 60
        while name not in runs:
            assert time.monotonic() < deadline, server.said()
            try:
                answer = httpx.post(address, json=body, headers=headers, timeout=40)
                assert answer.status_code in (201, 503), answer.text
                if answer.is_success:
                    runs[name] = answer.json()["id"]
            except httpx.TransportError:
                time.sleep(0.2)
    return runs


def kill_something(chance: random.Random, server: Server, workspace: Path, database_url: str | None) -> str:
    what = chance.choice(["server", "server", "run", "run", "database"])
    if what == "server":
        server.kill()
        time.sleep(chance.choice([0.0, 0.5]))
        server.start()
    elif what == "run":
        processes = processes_of_runs(workspace)
        if processes:
            os.kill(chance.choice(processes).pid, signal.SIGKILL)
    else:
        take_the_database_away(workspace, database_url, chance.uniform(0.2, 2.0))
    return what


def test_whatever_is_killed_no_run_is_lost_doubled_or_different(own_workspace: Path, database_url: str | None):
    chance = random.Random(int(os.environ.get("GLASSBOX_CHAOS_SEED", "0")))
    workspace = Workspace(own_workspace)
    make_inputs(workspace)
    expected = undisturbed(workspace)
    database = Database.in_folder(own_workspace) if database_url is None else Database(database_url)
    key, _ = ApiKeys(database).make(Users(database).local().id, "chaos")
    killed: list[str] = []
    with a_workshop(own_workspace, database_url) as server:
        runs = start_runs(server, key)
        watchers = {run: Watcher(server, run, key) for run in runs.values()}
        for watcher in watchers.values():
            watcher.start()
        for _ in range(KILLS):
            time.sleep(chance.uniform(*CALM))
            killed.append(kill_something(chance, server, own_workspace, database_url))
        deadline = time.monotonic() + PATIENCE
        while not all(workspace.runs.get(run).state == "finished" for run in runs.values()):
            states = {run: workspace.runs.get(run).status for run in runs.values()}
            assert time.monotonic() < deadline, f"{killed}\n{states}\n{server.said()}"
            time.sleep(0.2)
        for watcher in watchers.values():
            watcher.join(timeout=60)
            watcher.over.set()
        while any(job.state != "ended" for job in jobs_of(database)):
            assert time.monotonic() < deadline, f"{killed}\n{server.said()}"
            time.sleep(0.2)
        assert processes_of_runs(own_workspace) == []

    attempts = {name: workspace.runs.get(run).status.attempt for name, run in runs.items()}
    print(f"killed {killed}; attempts {attempts}")
    assert {entry.id for entry in workspace.runs.list("pretrain")} - set(runs.values()) == {
        entry.id for entry in workspace.runs.list("pretrain") if entry.name == "calm"
    }
    assert sorted(job.run for job in jobs_of(database)) == sorted(runs.values())
    for name, run in runs.items():
        made = workspace.artifacts.list("model", name)
        assert [(entry.version, entry.run) for entry in made] == [(1, run)], "exactly one model"
        numbers = [event.sequence for event in workspace.runs.get(run).events]
        assert numbers == list(range(len(numbers))), "an event is missing or repeated in the file"
        assert watchers[run].numbers == numbers, "an event is missing or repeated for who watched"
        assert weights(workspace, name) == expected, "another model than undisturbed training makes"
    database.close()


def jobs_of(database: Database) -> list[JobRow]:
    with database.reading() as session:
        return list(session.query(JobRow))
