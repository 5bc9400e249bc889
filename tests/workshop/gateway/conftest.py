"""Processes that stand in for those of models: they start in a tenth of a second, and misbehave when asked to."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import NewDatabase
from live_workshop import LiveWorkshop, live_workshop

from glassbox.workshop.gateway import commands
from glassbox.workshop.gateway.target import Target
from glassbox.workshop.settings import WorkshopSettings

STAND_IN = Path(__file__).with_name("stand_in_child.py")


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Deployments start a process that behaves as their model's name says."""

    def command(target: Target, workspace: Path, port_file: Path) -> list[str]:
        return [sys.executable, str(STAND_IN), target.model.partition(":")[0], str(port_file)]

    monkeypatch.setattr(commands, "command", command)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield


@pytest.fixture
def live(stand_ins: None, own_workspace: Path, new_database: NewDatabase) -> Iterator[LiveWorkshop]:
    """A workshop that answers, whose models are stand-ins; on one database, because how a request goes on from where
    the database was asked doesn't depend on it."""
    settings = WorkshopSettings(workspace=own_workspace, database_url=new_database(own_workspace), threads=2)
    with live_workshop(settings) as workshop:
        yield workshop


@pytest.fixture
def live_on_each(stand_ins: None, settings: WorkshopSettings) -> Iterator[LiveWorkshop]:
    """The same, once on SQLite and once on PostgreSQL."""
    with live_workshop(settings) as workshop:
        yield workshop
