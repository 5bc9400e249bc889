"""Three runs and a served model of a real workshop, while everything that can be killed is killed, at random moments.

    GLASSBOX_KILLS=50 GLASSBOX_CHAOS_SEED=1 python -m pytest tests/workshop/test_chaos.py

The server, the runs' processes and the model's get SIGKILL; the database is taken away: PostgreSQL ends all
connections, SQLite's file is locked by another program. In the end no run is lost or doubled, no event is missing or
repeated, neither in the file nor for someone who watched all the while, and the trained models are, to the bit, what
undisturbed training makes. Whoever chatted all the while got right answers, whole ones, or errors that say so.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.exceptions
import websockets.sync.client
from chatting import LONGEST, QUESTIONS, Chats, right_answers
from killable_workshop import (
    Server,
    Victim,
    kill,
    kill_one_of,
    killable_workshop,
    processes_of_models,
    processes_of_runs,
    shuffled_victims,
    tethers,
)
from tiny_model import make_tiny_model
from waiting import until

from glassbox.data.shard_writer import ShardWriter
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workshop.accounts.keys import ApiKeys
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import JobRow
from glassbox.workspace import Workspace

KILLS = int(os.environ.get("GLASSBOX_KILLS", "6"))
RUNS = ("one", "two", "three")
TEXT = "the cat sat on the mat and the dog ate the cake that the cat had made for the man with the hat. "
SETTINGS: dict[str, Any] = {
    "model": {"context": 16, "width": 16, "layers": 2, "heads": 2},
    "batch_size": 8, "steps": 150 * KILLS, "threads": 1, "precision": "fp32", "sample_tokens": 8, "device": "cpu",
    "evaluate_every": 100, "sample_every": 200, "checkpoint_every": 25,
}  # fmt: skip
PATIENCE = 240.0 + 12.0 * KILLS  # seconds until all must be over
CALM = (0.3, 3.0)  # seconds between two kills
LOADING = 20.0  # seconds within which a model is served again, most often

pytestmark = pytest.mark.slow


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


def serve_a_model(server: Server, key: str, workspace: Workspace) -> str:
    """Deploy a tiny model that never sleeps; its name."""
    model = make_tiny_model(workspace)
    body = {"model": model.reference, "name": model.name, "threads": 1, "unload_after": None}
    headers = {"Authorization": f"Bearer {key}"}
    until(server.answers, "the server answered")
    answer = httpx.post(f"{server.address}/api/deployments", json=body, headers=headers, timeout=40)
    assert answer.status_code == 201, answer.text
    return model.name


def wait_for_runs(workspace: Workspace, runs: list[str], database: Database) -> None:
    """Until all have finished, and the queue knows it."""
    deadline = time.monotonic() + PATIENCE
    while not all(workspace.runs.get(run).state == "finished" for run in runs):
        assert time.monotonic() < deadline, [workspace.runs.get(run).status for run in runs]
        time.sleep(0.2)
    while any(job.state != "ended" for job in jobs_of(database)):
        assert time.monotonic() < deadline, [job.state for job in jobs_of(database)]
        time.sleep(0.2)


def jobs_of(database: Database) -> list[JobRow]:
    with database.reading() as session:
        return list(session.query(JobRow))


def wait_until_heard(chats: list[Chats], calm: float) -> None:
    """Until the model answers, for a while more, and then until somebody hears an answer: to be cut off in it."""
    deadline = time.monotonic() + LOADING
    for pause in (calm, 0.0):
        while time.monotonic() < deadline and not any(chat.hears for chat in chats):
            time.sleep(0.002)
        time.sleep(pause)


def check_chats(chats: list[Chats], server: Server, chance: random.Random) -> None:
    """Nothing wrong was heard, and a model that is killed once more comes back by itself."""
    for chat in chats:
        chat.over.set()
        chat.join(LONGEST)
        assert not chat.is_alive(), "a request was never answered"
    until(functools.partial(chats[0].ask, QUESTIONS[0]), "the model answered")
    before = processes_of_models(server.workspace)
    assert kill_one_of(before, chance)
    for chat in chats:
        until(functools.partial(chat.ask, QUESTIONS[0]), "the model came back")
        assert chat.wrong == []
    assert len(processes_of_models(server.workspace)) == len(tethers(server.workspace)) == 1
    assert processes_of_models(server.workspace) != before
    assert server.lives


def check_runs(workspace: Workspace, runs: dict[str, str], watchers: dict[str, Watcher], expected: bytes) -> None:
    """None is lost, doubled, or different."""
    there = {entry.id for entry in workspace.runs.list("pretrain") if entry.name != "calm"}
    assert there == set(runs.values())
    for name, run in runs.items():
        made = workspace.artifacts.list("model", name)
        assert [(entry.version, entry.run) for entry in made] == [(1, run)], "exactly one model"
        numbers = [event.sequence for event in workspace.runs.get(run).events]
        assert numbers == list(range(len(numbers))), "an event is missing or repeated in the file"
        assert watchers[run].numbers == numbers, "an event is missing or repeated for who watched"
        assert weights(workspace, name) == expected, "another model than undisturbed training makes"


def test_whatever_is_killed_no_run_is_lost_doubled_or_different_and_no_answer_is_wrong(
    own_workspace: Path, database_url: str | None, database: Database
):
    chance = random.Random(int(os.environ.get("GLASSBOX_CHAOS_SEED", "0")))
    workspace = Workspace(own_workspace)
    make_inputs(workspace)
    expected = undisturbed(workspace)
    key, _ = ApiKeys(database).make(Users(database).local().id, "chaos")
    killed: list[Victim] = []
    listened = itertools.cycle([True, True, True, False])  # the last may be hit while it is starting
    with killable_workshop(own_workspace, database_url) as server:
        model = serve_a_model(server, key, workspace)
        right = right_answers(server, model, key)
        chats = [Chats(server, model, key, right, stream=stream) for stream in (True, False)]
        runs = start_runs(server, key)
        watchers = {run: Watcher(server, run, key) for run in runs.values()}
        for thread in (*watchers.values(), *chats):
            thread.start()
        try:
            for victim in shuffled_victims(chance, KILLS):
                if victim in ("model", "tether") and next(listened):
                    wait_until_heard(chats, chance.uniform(*CALM))
                killed.append(kill(victim, chance, server))
                time.sleep(chance.uniform(*CALM))
            wait_for_runs(workspace, list(runs.values()), database)
            for watcher in watchers.values():
                watcher.join(timeout=60)
                watcher.over.set()
            assert processes_of_runs(own_workspace) == []
            check_chats(chats, server, chance)
        finally:
            attempts = {name: workspace.runs.get(run).status.attempt for name, run in runs.items()}
            print(
                f"killed {killed}; attempts {attempts}; {[(chat.whole, chat.cut_off, chat.errors) for chat in chats]}"
            )
    assert sorted(job.run for job in jobs_of(database)) == sorted(runs.values())
    check_runs(workspace, runs, watchers, expected)
