"""The stage that only the tests have, beside the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

import glassbox.stages
from glassbox.stages import registry
from glassbox.stages.interface import Stage
from glassbox.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def rehearse(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """`tests/stages/demonstration/rehearse.py` as a stage of glassbox."""
    folder = str(Path(__file__).parent / "demonstration")
    monkeypatch.setattr(glassbox.stages, "__path__", [*glassbox.stages.__path__, folder])
    return registry.load_stage("rehearse")
