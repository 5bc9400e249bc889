"""The program that a launcher starts, called in this process: what it does to the run, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tiny_pretraining import inputs_in, queued

from glassbox.workshop.jobs.attempt_process import ExitCode, main
from glassbox.workshop.jobs.launchers.interface import AttemptOrder
from glassbox.workspace import Run, Workspace
from glassbox.workspace.attempt_requests import make_request
from glassbox.workspace.processes import Process
from glassbox.workspace.run import STATE_FILE, read_state


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def rehearsal(workspace: Workspace, **settings: Any) -> Run:
    return workspace.runs.create("rehearse", name="x", settings=settings, inputs={})


def attempt(workspace: Workspace, run: str, number: int = 1, **options: Any) -> int:
    order = AttemptOrder(workspace=workspace.folder, run=run, attempt=number, token="a-token-of-ours", **options)
    return main(order.arguments)


@pytest.mark.parametrize(
    ("settings", "request_made", "code", "state"),
    [
        ({}, None, ExitCode.FINISHED, "finished"),
        ({"steps": 1000, "pause": 0.01}, "stop", ExitCode.INTERRUPTED, "interrupted"),
        ({"steps": 1000, "pause": 0.01}, "cancel", ExitCode.CANCELLED, "cancelled"),
        ({"ending": "bad-input"}, None, ExitCode.FAILED, "failed"),
        ({"ending": "fault"}, None, ExitCode.FAULT, "failed"),
        ({"velocity": 1}, None, ExitCode.FAILED, "failed"),
    ],
)
def test_every_end_has_its_code(workspace: Workspace, settings, request_made, code, state) -> None:
    run = rehearsal(workspace, **settings)
    if request_made:
        make_request(run.folder, 1, request_made)
    assert attempt(workspace, run.id) == code
    assert workspace.runs.get(run.id).state == state


def test_a_run_that_is_over_held_gone_or_damaged_is_not_begun(workspace: Workspace, capfd) -> None:
    over, held, damaged = (rehearsal(workspace) for _ in range(3))
    workspace.runs.cancel(over.id)
    holding = workspace.runs.begin(held)
    parent = read_state(held.folder).model_copy(update={"process": Process.of(os.getppid())})
    (held.folder / STATE_FILE).write_text(parent.model_dump_json())
    (damaged.folder / STATE_FILE).write_text("{")
    for run in (over, held, damaged):
        assert attempt(workspace, run.id) == ExitCode.NOT_BEGUN
    assert attempt(workspace, "no-such-run") == ExitCode.NOT_BEGUN
    said = capfd.readouterr().err
    assert "There is no run called 'no-such-run'" in said
    assert f"The run {held.id} is running" in said
    assert workspace.runs.get(held.id).state == "running"
    holding.end("finished")


def test_a_checkpoint_that_is_not_there_fails_the_attempt_with_the_reason(workspace: Workspace) -> None:
    run = rehearsal(workspace)
    assert attempt(workspace, run.id, from_checkpoint=7) == ExitCode.FAILED
    problem = workspace.runs.get(run.id).status.problem
    assert problem is not None
    assert "no checkpoint of step 7" in problem.problem


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stage_that_one_process_does_is_refused_in_every_one_of_several(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], rank: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    run = rehearsal(workspace)
    assert attempt(workspace, run.id) == ExitCode.FAILED
    assert workspace.runs.get(run.id).state == ("queued" if rank else "failed")
    assert "the work of one process, not of 2" in capfd.readouterr().err


def test_processes_that_do_not_meet_say_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "GLASSBOX_RENDEZVOUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = queued(workspace, inputs_in(workspace))
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert attempt(workspace, run.id) == ExitCode.FAILED
    assert "Process 1: Process 1 of 0 to 1 didn't find the others" in capfd.readouterr().err
    assert json.loads((run.folder / STATE_FILE).read_text())["state"] == "failed"


def test_a_fault_in_a_process_that_follows_leaves_its_traceback(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("glassbox.stages.execution.follow", broken)
    run = rehearsal(workspace)
    assert attempt(workspace, run.id) == ExitCode.FAULT
    assert "RuntimeError: a fault of ours" in capfd.readouterr().err


def test_the_arguments_are_those_of_the_order(tmp_path: Path) -> None:
    order = AttemptOrder(workspace=tmp_path, run="pretrain-abc", attempt=3, token="a-token-of-ours", from_checkpoint=40)
    wanted = ["pretrain-abc", "--workspace", str(tmp_path), "--attempt", "3", "--from-checkpoint", "40"]
    assert order.arguments == wanted
