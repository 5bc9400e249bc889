"""A workshop that is killed leaves no model's process behind, and one that starts again serves as before, once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import psutil
import pytest
from openai.types.chat import ChatCompletionMessageParam
from tiny_model import make_tiny_model
from waiting import PATIENCE, until

from glassbox.workshop.accounts.keys import ApiKeys
from glassbox.workshop.accounts.users import LOCAL_USER, Users
from glassbox.workshop.database import Database
from glassbox.workshop.gateway.deployments import Deployments, Setup
from glassbox.workshop.gateway.usage import requests
from glassbox.workspace import Workspace

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "She sells"}]


@contextmanager
def workshop(folder: Path, database_url: str | None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`glassbox workshop` as a person starts it, and its address."""
    command = [sys.executable, "-m", "glassbox", "workshop", "--port", "0", "--workspace", str(folder)]
    command += [] if database_url is None else ["--database", database_url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().decode().partition("/open")[0]
    finally:
        process.terminate()
        process.wait(PATIENCE)


def processes_of(server: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The tether and the model's process."""
    return psutil.Process(server.pid).children(recursive=True)


@pytest.mark.one_database
def test_a_killed_workshop_leaves_no_process_and_the_next_one_serves_again(
    own_workspace: Path, database_url: str | None, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, temporary = own_workspace, tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    model = make_tiny_model(Workspace(folder))
    Users(database).local()
    key, _ = ApiKeys(database).make(LOCAL_USER, "key", scope="models", tokens_per_day=10_000)
    Deployments(database).add(LOCAL_USER, "tutor", model, Setup("glassbox", 4, 1, None, None))
    with workshop(folder, database_url) as (server, address):
        client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
        client.chat.completions.create(model="tutor", messages=MESSAGES, max_tokens=8)
        stream = client.chat.completions.create(model="tutor", messages=MESSAGES, max_tokens=400, stream=True)
        next(iter(stream))
        until(lambda: requests(database, None, None, 10), "usage was written")
        children = processes_of(server)
        assert len(children) == 2
        assert len(list(temporary.glob("glassbox-*"))) == 1
        server.send_signal(signal.SIGKILL)
        server.wait()
        until(lambda: not any(child.is_running() for child in children), "its model's process ended")
        assert list(temporary.glob("glassbox-*")) == []
    with workshop(folder, database_url) as (server, address):
        client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
        answer = client.chat.completions.with_raw_response.create(model="tutor", messages=MESSAGES, max_tokens=8)
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 10_000
        children = processes_of(server)
        assert len(children) == 2
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
        assert not any(child.is_running() for child in children)
