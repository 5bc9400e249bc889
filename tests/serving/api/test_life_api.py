"""The process' life: how it begins, who may speak to it, and how it ends, for itself and for those who listen."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from own_loop import run_async
from served_child import PATIENCE, Child, until

from glassbox.cli.main import run

HELLO: Any = [{"role": "user", "content": "hi"}]
KEY = "a key of sixteen characters or more"


def endless(child: Child, **settings: Any) -> Any:
    """A stream that goes on for as long as the context: no token ends it."""
    return child.client().completions.create(
        **{"model": "shells", "prompt": "a", "max_tokens": 500, "stream": True, "seed": 1} | settings
    )


def load(child: Child) -> dict[str, Any]:
    return httpx.get(f"{child.address}/health", headers={"Authorization": f"Bearer {child.key}"}).json()


def test_with_a_key_nobody_is_answered_without_it_and_a_name_may_be_given(serve: Any, model_folder: Path):
    with serve(model_folder, "--name", "sea/shells", key=KEY) as child:
        for path in ("/v1/models", "/health", "/metrics", "/trace", "/nothing"):
            assert httpx.get(f"{child.address}{path}").status_code == 401
        for wrong in ("x", "nonsense", KEY[:-1], KEY + "x", "ключ"):
            answer = httpx.get(f"{child.address}/v1/models", headers={"Authorization": f"Bearer {wrong}".encode()})
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            child.client(api_key="wrong").models.list()
        assert [model.id for model in child.client().models.list().data] == ["sea/shells"]
        assert child.client().models.retrieve("sea/shells").id == "sea/shells"
        assert load(child)["status"] == "ready"
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(PATIENCE) == 0


def test_told_to_end_it_lets_running_answers_finish(serve: Any, model_folder: Path):
    with serve(model_folder) as child:
        stream = iter(endless(child))
        next(stream)
        child.process.send_signal(signal.SIGTERM)
        parts = list(stream)
        assert parts[-1].choices[0].finish_reason in ("length", "stop")
        assert child.process.wait(PATIENCE) == 0
        with pytest.raises(openai.APIConnectionError):
            child.client().models.list()


def test_killed_it_leaves_those_who_listen_a_clear_error(serve: Any, model_folder: Path):
    with serve(model_folder) as child:
        stream = endless(child, n=16)
        next(iter(stream))
        child.process.kill()
        with pytest.raises(openai.APIConnectionError):
            for _ in stream:
                pass
        assert child.process.wait(PATIENCE) == -signal.SIGKILL


def test_it_ends_with_the_standard_input_of_whoever_started_it(serve: Any, model_folder: Path):
    with serve(model_folder, "--end-with-stdin", stdin=subprocess.PIPE) as child:
        child.process.stdin.write(b"whatever\n")
        child.process.stdin.flush()
        assert load(child)["status"] == "ready"
        child.process.stdin.close()
        assert child.process.wait(PATIENCE) == 0


def test_it_ends_with_its_parent_while_it_still_loads(model_folder: Path, tmp_path: Path):
    command = [sys.executable, "-m", "glassbox", "serve-model", str(model_folder), "--port", "0", "--end-with-stdin",
               "--ready-file", str(tmp_path / "ready")]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    assert process.wait(PATIENCE) == 0
    assert not (tmp_path / "ready").exists()


def test_who_goes_away_frees_the_row(server: Child):
    stream = endless(server, n=16)
    next(iter(stream))
    stream.close()
    until(lambda: load(server)["busy"] == 0, "the rows were free")

    async def give_up() -> None:
        """A whole answer that nobody waits for any more."""
        async with server.asynchronous_client() as client:
            with pytest.raises(openai.APITimeoutError):
                await client.completions.create(
                    model="shells", prompt=["a"] * 8, n=16, max_tokens=500, seed=1, timeout=0.2
                )

    run_async(give_up())
    until(lambda: load(server)["busy"] == load(server)["waiting"] == 0, "the rows were free")
    assert 'glassbox_answers_total{end="cancelled"}' in httpx.get(f"{server.address}/metrics").text


def test_more_than_may_wait_are_told_to_come_again(server: Child):
    with pytest.raises(openai.RateLimitError) as raised:

        async def ask_all() -> None:
            async with server.asynchronous_client() as client:
                settings: Any = {"model": "shells", "prompt": ["a"] * 8, "n": 16, "max_tokens": 400, "seed": 1}
                await asyncio.gather(*(client.completions.create(**settings) for _ in range(4)))

        run_async(ask_all())
    assert raised.value.response.headers["retry-after"] == "1"
    assert raised.value.code == "too_many_waiting"
    until(lambda: load(server)["busy"] == load(server)["waiting"] == 0, "the rows were free")


def test_health_and_metrics_tell_what_was_done(server: Child):
    before = httpx.get(f"{server.address}/metrics").text
    server.client().completions.create(model="shells", prompt="a", max_tokens=7, temperature=0)
    told = load(server)
    assert told == {
        "status": "ready",
        "model": "shells",
        "pid": server.process.pid,
        "rows": 16,
        "busy": 0,
        "waiting": 0,
    }
    after = httpx.get(f"{server.address}/metrics")
    assert after.headers["content-type"].startswith("text/plain")

    def count(text: str, name: str) -> float:
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)), 0.0)

    for name, more in (
        ("glassbox_generated_tokens_total", 7),
        ("glassbox_time_to_first_token_seconds_count", 1),
        ("glassbox_time_per_output_token_seconds_count", 1),
        ('glassbox_requests_total{endpoint="/v1/completions",status="200"}', 1),
        ('glassbox_request_seconds_count{endpoint="/v1/completions"}', 1),
    ):
        assert count(after.text, name) - count(before, name) == more, name
    assert count(after.text, "glassbox_rows ") == 16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere/at/all"], "There is no model in"),
        (["no-such-model"], "There is no model called"),
        (["MODEL", "--host", "0.0.0.0"], "it has no key"),
        (["MODEL", "--host", "nowhere.invalid", "--key", KEY], "no address"),
        (["MODEL", "--key", "short"], "at least 16|16 or more"),
        (["MODEL", "--port", "TAKEN"], "can't be had"),
    ],
)
def test_what_cannot_be_served_is_told_before_a_model_is_loaded(
    arguments: list[str], said: str, server: Child, model_folder: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.delenv("GLASSBOX_SERVING_KEY", raising=False)
    monkeypatch.setattr("glassbox.serving.server.ServedModel", None)
    named = {"MODEL": str(model_folder), "TAKEN": str(server.port)}
    assert run(["serve-model", *(named.get(argument, argument) for argument in arguments)]) == 2
    told = capsys.readouterr().err
    assert "fault of its own" not in told
    assert re.search(said, told), told


def test_a_ready_file_that_cannot_be_written_is_told(model_folder: Path):
    arguments = ["--port", "0", "--ready-file", str(model_folder / "nowhere" / "ready")]
    command = [sys.executable, "-m", "glassbox", "serve-model", str(model_folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
