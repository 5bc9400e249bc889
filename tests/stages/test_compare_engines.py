"""Comparing the engines as a stage: what it keeps, and what it compares with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glassbox.errors import BadInput
from glassbox.evaluation.engines import machine
from glassbox.stages.compare_engines import STAGE, Settings, last_bench
from glassbox.stages.execution import execute
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Workspace

TINY: dict[str, Any] = {"engines": ("lists", "arrays"), "length": 4, "repeats": 1}
TINY_BENCH = TINY | {"bench": True, "sizes": ("1x8",), "more_batches": (), "steps": 2, "minutes": 0.01}


@pytest.fixture
def workspace(own_workspace: Any) -> Workspace:
    return Workspace(own_workspace)


def test_a_comparison_is_kept_as_a_report(workspace: Workspace):
    outcome = execute(STAGE, Settings(**TINY), workspace, {})
    report = outcome.outputs["report"]
    assert report.reference == "engines:1"
    assert report.facts == {"agree": True, "model": "microgpt", "bench": False}
    kept = json.loads((report.folder / "report.json").read_text())
    assert kept == json.loads(json.dumps(outcome.result))
    assert kept["step"]["agree"]
    assert "bench" not in kept
    assert last_bench(workspace) is None


def test_a_bench_is_compared_with_the_last_of_this_machine(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    first = execute(STAGE, Settings(**TINY_BENCH), workspace, {}).outputs["report"]
    execute(STAGE, Settings(**TINY), workspace, {})
    last = last_bench(workspace)
    assert last is not None
    assert last.reference == first.reference
    second = execute(STAGE, Settings(**TINY_BENCH), workspace, {"previous": last})
    since: Any = second.result["since"]
    assert since["report"] == first.reference
    assert isinstance(since["regressions"], list)
    assert second.outputs["report"].reference == "engines:3"

    elsewhere = machine.this_machine() | {"processor": "another"}
    monkeypatch.setattr(machine, "this_machine", lambda: elsewhere)
    assert last_bench(workspace) is None
    third = execute(STAGE, Settings(**TINY_BENCH), workspace, {"previous": last})
    assert "since" not in third.result


def test_the_losses_of_all_engines_can_be_laid_over_one_another(workspace: Workspace):
    outcome = execute(STAGE, Settings(**TINY_BENCH), workspace, {})
    told = [event.fields for event in outcome.run.events if event.kind == "metrics"]
    assert [fields["step"] for fields in told] == [1, 2]
    for fields in told:
        assert fields["values"]["lists_loss"] == pytest.approx(fields["values"]["arrays_loss"], rel=1e-4)


def test_a_comparison_that_is_stopped_keeps_nothing(workspace: Workspace):
    stop = StopRequest()
    stop.make()
    outcome = execute(STAGE, Settings(**TINY_BENCH), workspace, {}, stop=stop)
    assert outcome.run.state == "interrupted"
    assert outcome.outputs == {}


def test_a_report_of_something_else_is_refused(workspace: Workspace):
    with workspace.artifacts.draft("report", "plays") as draft:
        (draft.folder / "report.json").write_text('{"bits_per_byte": 2.1}')
    with pytest.raises(BadInput, match="no comparison of engines"):
        execute(STAGE, Settings(**TINY_BENCH), workspace, {"previous": draft.artifact})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec": "microgtp"}, "microgtp"),
        ({"spec": "nowhere/spec.json"}, "spec.json"),
        ({"length": 17}, "reads 16"),
        ({"sizes": ("four",)}, "LAYERSxWIDTH"),
    ],
)
def test_what_cannot_be_compared_is_refused(workspace: Workspace, change: dict[str, Any], said: str):
    with pytest.raises(BadInput, match=said):
        execute(STAGE, Settings(**TINY | change), workspace, {})
