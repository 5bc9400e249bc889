"""Runs of the stage that only the tests have, and orders for them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attempts import Order

import glassbox.stages
from glassbox.workshop.jobs.launchers.interface import AttemptOrder
from glassbox.workshop.jobs.launchers.local import LocalLauncher
from glassbox.workspace import Workspace

REHEARSING = Path(__file__).parent / "rehearsing"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(autouse=True)
def rehearse_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rehearse` is a stage here and in every process that is started."""
    folder = str(REHEARSING.parents[3] / "stages" / "demonstration")
    monkeypatch.setattr(glassbox.stages, "__path__", [*glassbox.stages.__path__, folder])
    monkeypatch.setenv("PYTHONPATH", str(REHEARSING))


@pytest.fixture
def order(workspace: Workspace) -> Iterator[Order]:
    """Order an attempt at a new run of `rehearse`; whatever was started by it is killed at the end."""
    made: list[AttemptOrder] = []

    def make(settings: dict[str, Any] | None = None, *, run: str | None = None, **fields: Any) -> AttemptOrder:
        if run is None:
            run = workspace.runs.create("rehearse", name="plays", settings=settings or {}, inputs={}).id
        fields = {"attempt": 1, "token": secrets.token_hex(8), **fields}
        made.append(AttemptOrder(workspace=workspace.folder, run=run, **fields))
        return made[-1]

    yield make
    launcher = LocalLauncher()
    for one in made:
        if handle := launcher.find(one):
            launcher.kill(handle)
