"""Training in all engines at once as a stage: what it tells while it goes on, and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glassbox.errors import BadInput
from glassbox.stages.compare_training import STAGE, Settings
from glassbox.stages.execution import execute
from glassbox.stages.interface import Progress
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Workspace
from glassbox.workspace.events import Event

TINY: dict[str, Any] = {"engines": ("lists", "arrays"), "length": 4, "steps": 5}


@pytest.fixture
def workspace(own_workspace: Path) -> Workspace:
    return Workspace(own_workspace)


def test_each_step_is_an_event_with_the_loss_of_every_engine(workspace: Workspace) -> None:
    outcome = execute(STAGE, Settings(**TINY), workspace, {})
    told = [event.fields for event in outcome.run.events if event.kind == "metrics"]
    assert [fields["step"] for fields in told] == [1, 2, 3, 4, 5]
    losses: Any = outcome.result["losses"]
    assert [fields["values"]["lists_loss"] for fields in told] == losses["lists"]
    assert [fields["values"]["arrays_loss"] for fields in told] == losses["arrays"]


def test_the_curves_are_kept_as_a_report(workspace: Workspace) -> None:
    report = execute(STAGE, Settings(**TINY), workspace, {}).outputs["report"]
    assert report.reference == "training:1"
    assert report.facts == {"same": True, "model": "microgpt", "steps": 5}
    kept = json.loads((report.folder / "report.json").read_text())
    assert kept["losses"].keys() == {"lists", "arrays"}


def test_one_that_is_stopped_keeps_nothing_but_its_events(workspace: Workspace) -> None:
    stop = StopRequest()

    class Stopper:
        def on_event(self, event: Event) -> None:
            if event.kind == "metrics" and event.fields["step"] == 2:
                stop.make()

        def on_progress(self, progress: Progress) -> None: ...

    outcome = execute(STAGE, Settings(**TINY), workspace, {}, watcher=Stopper(), stop=stop)
    assert outcome.run.state == "interrupted"
    assert outcome.outputs == {}
    assert outcome.result["steps"] == 2


def test_texts_longer_than_the_model_reads_are_refused(workspace: Workspace) -> None:
    too_long: dict[str, Any] = TINY | {"length": 17}
    with pytest.raises(BadInput, match="17"):
        execute(STAGE, Settings(**too_long), workspace, {})
