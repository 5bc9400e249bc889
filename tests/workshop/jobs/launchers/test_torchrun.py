"""The launcher `torchrun`: one run, several processes, and still one thing to look at, ask and end."""

from __future__ import annotations

import ipaddress
import signal
import tempfile
from pathlib import Path

import psutil
import pytest
from attempts import Order, at_its_end, wait_until
from tiny_pretraining import inputs_in, losses, queued, validation_losses

from glassbox.errors import BadInput
from glassbox.stages.execution import resume
from glassbox.workshop.jobs.attempt_process import ExitCode, output_file
from glassbox.workshop.jobs.launchers.bearers import TOKEN_VARIABLE
from glassbox.workshop.jobs.launchers.interface import Condition, Handle
from glassbox.workshop.jobs.launchers.torchrun import TorchrunLauncher
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.saved_steps import saved_steps

pytestmark = pytest.mark.slow  # every process imports PyTorch
ENDLESS = {"steps": 200_000, "evaluate_every": 0, "sample_every": 0, "checkpoint_every": 20}


@pytest.fixture
def launcher() -> TorchrunLauncher:
    return TorchrunLauncher()


@pytest.fixture
def inputs(workspace: Workspace) -> dict[str, Artifact]:
    return inputs_in(workspace)


def processes_of(handle: Handle) -> dict[int, psutil.Process]:
    """By rank."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if environment.get(TOKEN_VARIABLE) == handle.order.token and "RANK" in environment:
            found[int(environment["RANK"])] = process
    return found


def at_work(launcher: TorchrunLauncher, handle: Handle, workspace: Workspace) -> None:
    folder = workspace.runs.get(handle.order.run).checkpoints
    wait_until(lambda: saved_steps(folder) or launcher.look(handle).state == "gone", 60)
    assert launcher.look(handle) == Condition("alive"), output_file(folder.parent, 1).read_text()


def test_two_processes_learn_what_one_learns(
    launcher: TorchrunLauncher, order: Order, workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    alone, together = (queued(workspace, inputs) for _ in range(2))
    handle = launcher.start(order(run=together.id, processes=2))
    done = resume(workspace, alone.id).run
    run = at_its_end(launcher, handle, workspace, 90)
    assert run.state == "finished", output_file(run.folder, 1).read_text()
    assert launcher.look(handle) == Condition("gone", ExitCode.FINISHED)
    assert losses(run).keys() == losses(done).keys()
    for step, loss in losses(done).items():
        assert losses(run)[step] == pytest.approx(loss, abs=1e-4)
    assert validation_losses(run) == pytest.approx(validation_losses(done), abs=1e-4)
    assert [event.sequence for event in run.events] == list(range(len(list(run.events))))  # one process writes
    assert run.status.outputs.keys() == {"model"}


def test_one_process_of_two_is_killed_and_the_run_fails_clearly_and_is_resumed_by_one(
    launcher: TorchrunLauncher, order: Order, workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    run = queued(workspace, inputs, **ENDLESS)
    handle = launcher.start(order(run=run.id, processes=2))
    at_work(launcher, handle, workspace)
    processes_of(handle)[1].send_signal(signal.SIGKILL)
    failed = at_its_end(launcher, handle, workspace)
    assert failed.state == "failed"
    assert "Process 0 of 0 to 1 lost another one of this run" in failed.status.problem.problem
    assert launcher.look(handle).state == "gone"
    saved = saved_steps(failed.checkpoints)[-1]
    again = launcher.start(order(run=run.id, attempt=2))  # with one process
    wait_until(lambda: saved_steps(run.checkpoints)[-1] > saved, 60)
    launcher.ask_to_stop(again)
    said = [event.fields["message"] for event in at_its_end(launcher, again, workspace).events if event.kind == "log"]
    assert f"Going on from step {saved:,} of 200,000." in said
    assert any("1 instead of 2 processes" in sentence for sentence in said)


def test_it_is_paused_and_stopped_as_one_and_opens_no_port_to_others(
    launcher: TorchrunLauncher, order: Order, workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    handle = launcher.start(order(run=queued(workspace, inputs, **ENDLESS).id, processes=2))
    at_work(launcher, handle, workspace)
    listening = [
        connection.laddr.ip
        for process in [*processes_of(handle).values(), psutil.Process(handle.place["process"]["pid"])]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert all(ipaddress.ip_address(address).is_loopback for address in listening), listening
    launcher.pause(handle)
    wait_until(lambda: workspace.runs.get(handle.order.run).state == "paused")
    launcher.go_on(handle)
    wait_until(lambda: workspace.runs.get(handle.order.run).state == "running")
    launcher.ask_to_stop(handle)
    run = at_its_end(launcher, handle, workspace)
    assert run.state == "interrupted"
    assert run.status.result["steps"] == saved_steps(run.checkpoints)[-1]
    assert launcher.look(handle) == Condition("gone", ExitCode.FINISHED)  # an orderly end
    assert list(Path(tempfile.gettempdir()).glob(f"*{handle.order.token}*")) == []


def test_killing_reaches_every_process(
    launcher: TorchrunLauncher, order: Order, workspace: Workspace, inputs: dict[str, Artifact]
) -> None:
    handle = launcher.start(order(run=queued(workspace, inputs, **ENDLESS).id, processes=2))
    at_work(launcher, handle, workspace)
    psutil.Process(handle.place["process"]["pid"]).kill()  # the one that started the others
    other = TorchrunLauncher()
    assert other.look(handle) == Condition("alive")
    processes = processes_of(handle)
    assert processes.keys() == {0, 1}
    other.kill(handle)
    assert not any(process.is_running() and process.status() != "zombie" for process in processes.values())
    assert other.look(handle).state == "gone"
    assert workspace.runs.get(handle.order.run).state == "interrupted"


def test_a_stage_that_one_process_does_is_refused_for_two(launcher: TorchrunLauncher, order: Order) -> None:
    with pytest.raises(BadInput, match="The stage rehearse is the work of one process, not of 2"):
        launcher.start(order(processes=2))
