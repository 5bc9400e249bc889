"""The launcher `local`: processes that the server can lose sight of, speak to, and end, and never doubles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from attempts import Order, at_its_end, wait_until

from glassbox.errors import BadInput
from glassbox.workshop.jobs.attempt_process import ExitCode, output_file
from glassbox.workshop.jobs.launchers.bearers import TOKEN_VARIABLE
from glassbox.workshop.jobs.launchers.interface import Condition, Handle
from glassbox.workshop.jobs.launchers.local import LocalLauncher, environment
from glassbox.workspace import Workspace

LONG = {"steps": 100_000, "pause": 0.02}


@pytest.fixture
def launcher() -> LocalLauncher:
    return LocalLauncher()


def steps_of(workspace: Workspace, run: str) -> list[int]:
    return [event.fields["step"] for event in workspace.runs.get(run).events if event.kind == "metrics"]


def at_work(launcher: LocalLauncher, handle: Handle, workspace: Workspace, steps: int = 3) -> None:
    wait_until(lambda: len(steps_of(workspace, handle.order.run)) >= steps)
    assert launcher.look(handle) == Condition("alive")


def test_a_queued_run_is_done_by_a_process_of_its_own(launcher, order: Order, workspace) -> None:
    handle = launcher.start(order({"steps": 3}))
    run = at_its_end(launcher, handle, workspace)
    assert (run.state, run.status.attempt) == ("finished", 1)
    assert launcher.look(handle) == Condition("gone", ExitCode.FINISHED)
    assert run.status.process.pid != os.getpid()


def test_what_a_handle_says_survives_the_server_and_json(launcher, order: Order, workspace) -> None:
    handle = Handle.model_validate_json(launcher.start(order(LONG)).model_dump_json())
    at_work(launcher, handle, workspace)
    other = LocalLauncher()  # of a server that was started again
    assert other.look(handle) == Condition("alive")
    found = other.find(handle.order)
    assert found is not None
    assert found.place["process"]["pid"] == handle.place["process"]["pid"]  # its start is known to the second only
    other.kill(handle)
    assert other.look(handle) == Condition("gone")
    assert launcher.look(handle) == Condition("gone", -signal.SIGKILL)
    assert workspace.runs.get(handle.order.run).state == "interrupted"
    assert other.find(handle.order) is None


def test_a_run_goes_on_when_the_server_is_killed(order: Order, workspace) -> None:
    one = order(LONG)
    server = (
        "import sys, time; from glassbox.workshop.jobs.launchers.interface import AttemptOrder\n"
        "from glassbox.workshop.jobs.launchers.local import LocalLauncher\n"
        "LocalLauncher().start(AttemptOrder.model_validate_json(sys.argv[1])); print('started', flush=True)\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", server, one.model_dump_json()], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    process.kill()
    process.wait()
    process.stdout.close()
    launcher = LocalLauncher()
    handle = launcher.find(one)
    assert handle is not None
    at_work(launcher, handle, workspace)
    launcher.kill(handle)


def test_an_attempt_that_is_started_twice_is_done_once(launcher, order: Order, workspace) -> None:
    first = order({"steps": 40, "pause": 0.05})
    second = order(run=first.run)
    handles = [launcher.start(one) for one in (first, second)]
    for handle in handles:
        at_its_end(launcher, handle, workspace)
    run = workspace.runs.get(first.run)
    codes = sorted(launcher.look(handle).exit_code for handle in handles)
    assert codes == [ExitCode.FINISHED, ExitCode.NOT_BEGUN]
    assert (run.state, run.status.attempt) == ("finished", 1)
    assert steps_of(workspace, first.run) == list(range(40))


def test_a_start_that_comes_too_late_does_not_become_another_attempt(launcher, order: Order, workspace) -> None:
    first = order({"ending": "bad-input"})
    assert at_its_end(launcher, launcher.start(first), workspace).state == "failed"
    late = launcher.start(order(run=first.run, attempt=1))
    run = at_its_end(launcher, late, workspace)
    assert launcher.look(late).exit_code == ExitCode.NOT_BEGUN
    assert (run.state, run.status.attempt) == ("failed", 1)
    again = launcher.start(order(run=first.run, attempt=2))
    assert at_its_end(launcher, again, workspace).status.attempt == 2


def test_a_run_that_is_asked_to_stop_can_go_on(launcher, order: Order, workspace) -> None:
    handle = launcher.start(order({"steps": 60, "pause": 0.05}))
    at_work(launcher, handle, workspace)
    launcher.ask_to_stop(handle)
    run = at_its_end(launcher, handle, workspace)
    assert (run.state, launcher.look(handle).exit_code) == ("interrupted", ExitCode.INTERRUPTED)
    again = launcher.start(order(run=run.id, attempt=2))
    assert at_its_end(launcher, again, workspace).state == "finished"  # what was asked of the first isn't of the second
    assert steps_of(workspace, run.id) == list(range(60))


def test_a_run_that_is_asked_to_give_up_is_cancelled_for_good(launcher, order: Order, workspace) -> None:
    handle = launcher.start(order(LONG))
    at_work(launcher, handle, workspace)
    launcher.ask_to_cancel(handle)
    run = at_its_end(launcher, handle, workspace)
    assert (run.state, launcher.look(handle).exit_code) == ("cancelled", ExitCode.CANCELLED)
    late = launcher.start(order(run=run.id, attempt=2))
    assert at_its_end(launcher, late, workspace).state == "cancelled"


def test_a_paused_run_takes_no_processor_and_goes_on_where_it_was(launcher, order: Order, workspace) -> None:
    handle = launcher.start(order({"steps": 60, "pause": 0.02}))
    at_work(launcher, handle, workspace)
    launcher.pause(handle)
    wait_until(lambda: workspace.runs.get(handle.order.run).state == "paused")
    process = psutil.Process(handle.place["process"]["pid"])
    done, began, before = len(steps_of(workspace, handle.order.run)), time.monotonic(), sum(process.cpu_times()[:2])
    wait_until(lambda: time.monotonic() > began + 1.5)
    assert sum(process.cpu_times()[:2]) - before < 0.15  # of 1.5 seconds
    assert len(steps_of(workspace, handle.order.run)) == done
    LocalLauncher().go_on(handle)  # a server that was started again meanwhile
    run = at_its_end(launcher, handle, workspace)
    assert run.state == "finished"
    states = [event.fields["state"] for event in run.events if event.kind == "state"]
    assert states == ["running", "paused", "running", "finished"]
    assert steps_of(workspace, run.id) == list(range(60))


@pytest.mark.parametrize("ask", ["ask_to_stop", "ask_to_cancel", "terminate"])
def test_a_paused_run_still_hears_that_it_should_stop(launcher, order: Order, workspace, ask: str) -> None:
    handle = launcher.start(order(LONG))
    launcher.pause(handle)  # before it has begun
    wait_until(lambda: workspace.runs.get(handle.order.run).state == "paused")
    if ask == "terminate":
        os.kill(handle.place["process"]["pid"], signal.SIGTERM)
    else:
        getattr(launcher, ask)(handle)
    run = at_its_end(launcher, handle, workspace)
    assert run.state == ("cancelled" if ask == "ask_to_cancel" else "interrupted")


def test_killing_reaches_what_the_process_has_started_and_nobody_else(launcher, order: Order, workspace) -> None:
    one = order(LONG)
    handle = launcher.start(one)
    at_work(launcher, handle, workspace)
    stray, stranger = (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=env, start_new_session=True)
        for env in (os.environ | {TOKEN_VARIABLE: one.token}, os.environ | {TOKEN_VARIABLE: "another-token"})
    )
    try:
        launcher.kill(handle)
        assert stray.wait(10) == -signal.SIGKILL
        assert stranger.poll() is None
        launcher.kill(handle)  # nothing
    finally:
        for process in (stray, stranger):
            process.kill()
            process.wait()


def test_a_process_that_has_got_the_same_id_is_left_alone(launcher, order: Order, workspace) -> None:
    handle = launcher.start(order({"steps": 1}))
    at_its_end(launcher, handle, workspace)
    own = {**handle.place["process"], "pid": os.getpid()}
    reused = handle.model_copy(update={"place": {"process": own}})
    other = LocalLauncher()
    other.kill(reused)
    assert other.look(reused) == Condition("gone")


def test_an_attempt_on_another_machine_is_unknown(launcher, order: Order) -> None:
    place = {"process": {"place": "elsewhere", "pid": 1, "started": 1.0}}
    assert launcher.look(Handle(launcher="local", order=order(), place=place)) == Condition("unknown")


def test_what_it_prints_is_in_the_folder_of_the_run(launcher, order: Order, workspace) -> None:
    handle = launcher.start(order({"ending": "fault"}))
    run = at_its_end(launcher, handle, workspace)
    assert (run.state, launcher.look(handle).exit_code) == ("failed", ExitCode.FAULT)
    assert "RuntimeError: a fault of ours" in output_file(run.folder, 1).read_text()


def test_a_run_that_cannot_even_begin_fails_with_the_reason(launcher, order: Order, workspace) -> None:
    handle = launcher.start(order({"velocity": 3}))
    run = at_its_end(launcher, handle, workspace)
    assert (run.state, launcher.look(handle).exit_code) == ("failed", ExitCode.FAILED)
    assert "from another version of Glassbox: velocity" in run.status.problem.problem
    assert [event.kind for event in run.events][-2:] == ["error", "state"]


def test_several_processes_are_refused_before_anything_is_started(launcher, order: Order) -> None:
    with pytest.raises(BadInput, match="local starts one process, not 2") as refused:
        launcher.start(order(processes=2))
    assert "torchrun" in refused.value.remedy


def test_the_secrets_of_the_server_stay_with_it(order: Order) -> None:
    own = {
        "PATH": "/bin", "HOME": "/home/x", "LC_ALL": "C", "NCCL_DEBUG": "INFO", "HF_TOKEN": "secret",
        "GLASSBOX_DATABASE_URL": "postgresql://secret", "OPENAI_API_KEY": "secret", "OMP_NUM_THREADS": "64",
    }  # fmt: skip
    given = environment(order(threads=3, gpus=(1, 2)), own)
    assert "secret" not in " ".join(given.values())
    assert given["PATH"] == "/bin"
    assert given["NCCL_DEBUG"] == "INFO"
    assert (given["OMP_NUM_THREADS"], given["CUDA_VISIBLE_DEVICES"]) == ("3", "1,2")
    assert "CUDA_VISIBLE_DEVICES" not in environment(order(), {})
    assert environment(order(gpus=()), {})["CUDA_VISIBLE_DEVICES"] == ""
