"""A workspace, and other processes that use it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glassbox.workspace import Artifact, Workspace

PRELUDE = """
import os, sys, time
from pathlib import Path
from glassbox.workspace import Workspace
workspace = Workspace(sys.argv[1])
def publish(kind, name, text, parents=()):
    with workspace.artifacts.draft(kind, name, parents=parents) as draft:
        (draft.folder / "text.txt").write_text(text)
    return draft.artifact
"""

StartPython = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def start_python(workspace: Workspace) -> StartPython:
    """Start another process with the workspace open; its code finds `workspace` and `publish`."""

    def start(code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code, str(workspace.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def publish(
    workspace: Workspace, kind: str, name: str, text: str = "text", parents: tuple[Artifact, ...] = ()
) -> Artifact:
    with workspace.artifacts.draft(kind, name, parents=parents) as draft:
        (draft.folder / "text.txt").write_text(text)
    return draft.artifact


@pytest.fixture(name="publish")
def publish_fixture(workspace: Workspace) -> Callable[..., Artifact]:
    """Publish an artifact of one file."""
    return lambda *arguments, **keywords: publish(workspace, *arguments, **keywords)
