"""A tiny model with random weights, served by a process of its own, and the official client to ask it with."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import coverage
import httpx
import openai
import pytest
import torch
from served_child import PATIENCE, Child, until

from glassbox.engines.tensors import Transformer, save_model
from glassbox.generation import Decoder
from glassbox.insight import Reader
from glassbox.spec import ModelSpec
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.splitting import PATTERNS

CONTEXT = 512
TEXT = "She sells sea shells by the sea shore. The shells she sells are surely seashells, says Zoë — or not?\n" * 4

Serve = Callable[..., "contextlib.AbstractContextManager[Child]"]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder of 0.1 million random parameters, and a tokenizer that learned from a few sentences."""
    folder = tmp_path_factory.mktemp("models") / "shells"
    tokenizer = train(TEXT, 256 + 64 + 2, pattern=PATTERNS["gpt4"], special_tokens=("<|endoftext|>", "<|user|>"))
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer.save(folder / "tokenizer")
    spec = ModelSpec(vocabulary_size=tokenizer.vocabulary_size, context=CONTEXT, width=64, layers=2, heads=2)
    model = Transformer(spec, 0)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.15)
    save_model(model, folder)
    return folder


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Start `glassbox serve-model`, wait until it answers, and end it afterwards."""

    @contextlib.contextmanager
    def start(model: Path | str, *arguments: str, key: str | None = None, **options: Any) -> Iterator[Child]:
        ready = tmp_path_factory.mktemp("child") / "ready.json"
        environment = os.environ | {"GLASSBOX_SERVING_KEY": key or ""}
        if coverage.Coverage.current() is not None:
            environment["COVERAGE_PROCESS_START"] = str(Path(__file__).parents[3] / "pyproject.toml")
        command = [
            sys.executable,
            "-m",
            "glassbox",
            "serve-model",
            str(model),
            "--port",
            "0",
            "--ready-file",
            str(ready),
        ]
        process = subprocess.Popen([*command, *arguments], env=environment, **options)
        try:
            until(lambda: ready.exists() or process.poll() is not None, "the child was ready")
            assert process.poll() is None, f"the child ended with {process.returncode}"
            told = json.loads(ready.read_text())
            assert told["pid"] == process.pid
            yield Child(process, told["port"], key or "none")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
            process.kill()
            process.wait()

    return start


@pytest.fixture(scope="session")
def server(serve: Serve, model_folder: Path) -> Iterator[Child]:
    """One for all tests that don't end it."""
    with serve(model_folder) as child:
        yield child


@pytest.fixture(scope="session")
def client(server: Child) -> openai.OpenAI:
    return server.client()


@pytest.fixture(scope="session")
def web(server: Child) -> Iterator[httpx.Client]:
    """What isn't OpenAI's."""
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="session")
def reader(model_folder: Path) -> Reader:
    """The same model in this process."""
    return Reader.load(model_folder)


@pytest.fixture(scope="session")
def decoder(reader: Reader) -> Decoder:
    """What answers are compared with."""
    return Decoder(reader.model, reader.tokenizer)
