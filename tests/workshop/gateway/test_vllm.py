"""vLLM in the place of our own process. Here a program of that name stands in for it: nothing of vLLM itself runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from databases import NewDatabase
from live_workshop import LiveWorkshop, live_workshop
from tiny_model import make_tiny_model
from waiting import PATIENCE

from glassbox.workshop.gateway.vllm_process import EXPORTS, vllm_command
from glassbox.workshop.settings import WorkshopSettings
from glassbox.workspace import Workspace

STAND_IN = Path(__file__).with_name("stand_in_vllm.py")


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called vllm on the PATH."""
    program = tmp_path / "programs" / "vllm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(STAND_IN))} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.fixture
def served(vllm: None, tmp_path: Path, new_database: NewDatabase) -> Iterator[LiveWorkshop]:
    """A workshop that serves a tiny model with vLLM."""
    folder = tmp_path / "workspace"
    make_tiny_model(Workspace(folder))
    settings = WorkshopSettings(workspace=folder, database_url=new_database(folder), threads=2)
    with live_workshop(settings) as live:
        live.deploy("shells", engine="vllm", rows=3)
        yield live


def test_its_command_serves_this_machine_alone_and_names_the_model():
    command = " ".join(vllm_command(Path("/models/one"), "tutor", 3, 4711))
    assert command == (
        "vllm serve /models/one --served-model-name tutor --max-num-seqs 3 --host 127.0.0.1 --port 4711 "
        "--disable-uvicorn-access-log"
    )


def test_it_is_asked_and_watched_like_our_own(served: LiveWorkshop):
    assert served.facts("shells")["state"] == "ready", served.facts("shells")
    client = served.openai()
    parts = list(
        client.chat.completions.create(model="shells", messages=[{"role": "user", "content": "hello"}], stream=True)
    )
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "She sells sea shells"
    card = client.models.retrieve("shells").model_dump(exclude_none=True)
    assert card["context"] == 512
    assert "root" not in card
    assert str(served.workshop.workspace.folder) not in str(card)
    with served.web("member") as web:
        refused = web.post("/api/deployments/shells/trace/attention", json={"input": "She"})
        assert refused.status_code == 409
        assert served.facts("shells")["load"] == {"in_flight": 0, "rows": None, "busy": None, "waiting": None}


def test_its_model_is_written_once_and_deleted_with_the_deployment(served: LiveWorkshop):
    [written] = (served.workshop.workspace.folder / EXPORTS).iterdir()
    assert (written / "model.safetensors").is_file()
    assert (written / "tokenizer.json").is_file()
    inode = written.stat().st_ino
    with served.web("owner") as web:
        web.post("/api/deployments/shells/stop")
        web.post("/api/deployments/shells/start")
        served.child("shells")
        assert written.stat().st_ino == inode
        web.delete("/api/deployments/shells")
    assert not written.exists()


def test_a_model_that_it_cannot_take_is_refused_with_a_reason(vllm: None, tmp_path: Path):
    folder = tmp_path / "workspace"
    model = make_tiny_model(Workspace(folder))
    with Workspace(folder).artifacts.draft("model", "bare") as draft:
        for name in ("spec.json", "model.safetensors"):
            (draft.folder / name).write_bytes((model.folder / name).read_bytes())
    words = ["--workspace", str(folder), "--name", "bare", "--rows", "1", "--port-file", str(tmp_path / "port")]
    command = [sys.executable, "-m", "glassbox.workshop.gateway.vllm_process", "bare:1", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert done.stderr == "The model bare:1 has no tokenizer. Choose another model.\n"


def test_its_key_is_not_the_workshops(served: LiveWorkshop):
    port = served.child("shells").port
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/chat/completions", json={}, headers={"Authorization": f"Bearer {served.key()}"}
    )
    assert answer.status_code == 401
    assert openai.OpenAI(base_url=f"{served.address}/v1", api_key=served.key()).models.list().data
