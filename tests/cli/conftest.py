"""The command line in this process, and as a person or a script meets it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glassbox import stages
from glassbox.cli.main import run
from glassbox.workspace import Workspace

DEMONSTRATION = str(Path(__file__).parent.parent / "stages" / "demonstration")

WITH_REHEARSAL = f"""
import glassbox.stages
glassbox.stages.__path__.append({DEMONSTRATION!r})
from glassbox.cli.main import main
main()
"""


@dataclass
class Result:
    """What a command wrote and returned."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        [line] = self.out.splitlines()
        return json.loads(line, parse_constant=pytest.fail)


Glassbox = Callable[..., Result]


@pytest.fixture
def glassbox(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Glassbox:
    """Run a command line in this process; the stage `rehearse` is there too."""
    monkeypatch.setattr(stages, "__path__", [*stages.__path__, DEMONSTRATION])

    def call(*arguments: str) -> Result:
        code = run(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def start_glassbox() -> Callable[..., subprocess.Popen[str]]:
    """Start the command as a process of its own."""

    def start(*arguments: str, **keywords: Any) -> subprocess.Popen[str]:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", WITH_REHEARSAL, *arguments], **(options | keywords))

    return start


@pytest.fixture
def workspace(own_workspace: Path) -> Workspace:
    return Workspace(own_workspace)


@pytest.fixture
def publish(workspace: Workspace) -> Callable[..., Any]:
    """Publish an artifact of one file."""

    def publish(kind: Any, name: str, text: str = "text", parents: tuple[Any, ...] = ()) -> Any:
        with workspace.artifacts.draft(kind, name, parents=parents) as draft:
            (draft.folder / "text.txt").write_text(text)
        return draft.artifact

    return publish


@pytest.fixture
def at_a_terminal() -> Callable[..., str]:
    """Run a command at a terminal of so many columns, and give everything it writes, escape sequences and all."""
    return _at_a_terminal


def _at_a_terminal(*arguments: str, columns: int) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_REHEARSAL, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm-256color"},
    )
    os.close(theirs)
    written = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(30) == 0, written.decode()
    return written.decode()
