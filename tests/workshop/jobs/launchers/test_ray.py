"""The launcher `ray`, with a real cluster: jobs outlive the server, and nobody else has a hand in them."""

from __future__ import annotations

import ipaddress
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import httpx
import psutil
import pytest
from attempts import Order, at_its_end, wait_until
from conftest import REHEARSING
from tiny_pretraining import SETTINGS, inputs_in, losses, queued

from glassbox.errors import BadInput
from glassbox.stages.execution import resume
from glassbox.workshop.jobs.attempt_process import ExitCode, output_file
from glassbox.workshop.jobs.launchers import ray_cluster
from glassbox.workshop.jobs.launchers.bearers import bearers
from glassbox.workshop.jobs.launchers.interface import AttemptOrder, Condition, Handle
from glassbox.workshop.jobs.launchers.ray import RayLauncher
from glassbox.workshop.jobs.launchers.ray_cluster import LocalRayCluster, RemoteRayCluster
from glassbox.workspace import Workspace
from glassbox.workspace.saved_steps import saved_steps

pytestmark = pytest.mark.slow  # a cluster takes ten seconds to start
LONG = {"steps": 100_000, "pause": 0.02}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRayCluster]:
    """One for all of these tests, stopped at their end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REHEARSING))
        cluster = LocalRayCluster(tmp_path_factory.mktemp("ray") / "ray", cpus=4)
        try:
            cluster.ready()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def launcher(cluster: LocalRayCluster) -> RayLauncher:
    return RayLauncher(cluster)


def at_work(launcher: RayLauncher, handle: Handle, workspace: Workspace) -> None:
    folder = workspace.runs.get(handle.order.run).checkpoints
    wait_until(lambda: (folder.exists() and any(folder.iterdir())) or launcher.look(handle).state == "gone", 60)
    assert launcher.look(handle) == Condition("alive")


def test_a_job_survives_the_server_and_is_looked_at_paused_stopped_and_done_again(
    cluster: LocalRayCluster, launcher: RayLauncher, order: Order, workspace: Workspace
) -> None:
    one = order({"steps": 150, "pause": 0.02})
    server = (
        "import sys; from pathlib import Path\n"
        "from glassbox.workshop.jobs.launchers.interface import AttemptOrder\n"
        "from glassbox.workshop.jobs.launchers.ray import RayLauncher\n"
        "from glassbox.workshop.jobs.launchers.ray_cluster import LocalRayCluster\n"
        "launcher = RayLauncher(LocalRayCluster(Path(sys.argv[1]), cpus=1))\n"
        "print(launcher.start(AttemptOrder.model_validate_json(sys.argv[2])).model_dump_json(), flush=True)\n"
        "assert 'ray' not in sys.modules and 'torch' not in sys.modules\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", server, str(cluster.folder), one.model_dump_json()]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == -signal.SIGKILL
    handle = Handle.model_validate_json(done.stdout)
    at_work(launcher, handle, workspace)
    assert launcher.find(one) == handle
    launcher.pause(handle)
    wait_until(lambda: workspace.runs.get(one.run).state == "paused")
    launcher.go_on(handle)
    wait_until(lambda: workspace.runs.get(one.run).state == "running")
    launcher.ask_to_stop(handle)
    run = at_its_end(launcher, handle, workspace)
    assert run.state == "interrupted"
    assert launcher.look(handle) == Condition("gone", ExitCode.INTERRUPTED)
    again = launcher.start(order(run=run.id, attempt=2))
    finished = at_its_end(launcher, again, workspace)
    assert finished.state == "finished"
    assert [event.fields["step"] for event in finished.events if event.kind == "metrics"] == list(range(150))


def test_a_job_that_is_killed_is_gone_and_its_run_interrupted(
    launcher: RayLauncher, order: Order, workspace: Workspace
) -> None:
    handle = launcher.start(order(LONG))
    at_work(launcher, handle, workspace)
    launcher.kill(handle)
    assert at_its_end(launcher, handle, workspace).state == "interrupted"
    wait_until(lambda: not list(bearers(handle.order.token)))
    launcher.kill(handle)  # nothing
    assert launcher.find(handle.order) is None


def test_an_order_that_is_given_twice_is_one_job(launcher: RayLauncher, order: Order, workspace: Workspace) -> None:
    one = order({"steps": 3})
    launcher.start(one)
    with pytest.raises(BadInput, match="didn't take the job"):
        launcher.start(one)
    handle = launcher.find(one)
    assert handle is None or at_its_end(launcher, handle, workspace).state == "finished"
    wait_until(lambda: workspace.runs.get(one.run).state == "finished")


def test_two_processes_on_the_cluster_learn_what_one_learns(
    launcher: RayLauncher, order: Order, workspace: Workspace
) -> None:
    inputs = inputs_in(workspace)
    alone, together = (queued(workspace, inputs) for _ in range(2))
    handle = launcher.start(order(run=together.id, processes=2))
    done = resume(workspace, alone.id).run
    run = at_its_end(launcher, handle, workspace, 120)
    assert run.state == "finished", output_file(run.folder, 1).read_text()
    assert launcher.look(handle) == Condition("gone", ExitCode.FINISHED)
    for step, loss in losses(done).items():
        assert losses(run)[step] == pytest.approx(loss, abs=1e-4)


def test_when_the_first_of_two_processes_is_killed_the_other_ends_too_and_the_run_can_be_resumed(
    launcher: RayLauncher, order: Order, workspace: Workspace
) -> None:
    endless = {"steps": 200_000, "evaluate_every": 0, "sample_every": 0, "checkpoint_every": 20}
    run = queued(workspace, inputs_in(workspace), **{**SETTINGS, **endless})
    handle = launcher.start(order(run=run.id, processes=2))
    wait_until(lambda: saved_steps(run.checkpoints) or launcher.look(handle).state == "gone", 90)
    assert launcher.look(handle) == Condition("alive"), output_file(run.folder, 1).read_text()
    holder = workspace.runs.get(run.id).status.process
    assert holder is not None
    psutil.Process(holder.pid).kill()
    assert at_its_end(launcher, handle, workspace, 60).state == "interrupted"
    wait_until(lambda: not list(bearers(handle.order.token)))
    assert "Process 1: Process 1 of 0 to 1 lost another one" in output_file(run.folder, 1).read_text()


def test_it_listens_on_loopback_alone_and_takes_nothing_without_its_token(cluster: LocalRayCluster) -> None:
    kept = cluster._kept()
    assert kept is not None
    ports = [
        connection.laddr
        for process in psutil.process_iter()
        if process in list(bearers(kept.id))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(ports) >= 5
    for address in {ipaddress.ip_address(port.ip) for port in ports}:
        mapped = getattr(address, "ipv4_mapped", None) or address
        assert mapped.is_loopback
    assert httpx.get(f"{kept.address}/api/jobs/").status_code == httpx.codes.UNAUTHORIZED
    assert (cluster.folder / "token").stat().st_mode & 0o077 == 0
    stranger = RayLauncher(RemoteRayCluster(kept.address, token="0" * 64))
    made = AttemptOrder(workspace=cluster.folder, run="x", attempt=1, token="made-up-token")
    with pytest.raises(BadInput, match="doesn't take our token"):
        stranger.start(made)
    assert stranger.look(Handle(launcher="ray", order=made)) == Condition("unknown")


def test_a_cluster_that_does_not_answer_is_unknown_and_one_that_is_gone_has_no_jobs(
    order: Order, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="isn't the address"):
        RemoteRayCluster("head:6379")
    away = RayLauncher(RemoteRayCluster("http://127.0.0.1:9"))
    one = order()
    with pytest.raises(BadInput, match="doesn't answer"):
        away.start(one)
    assert away.look(Handle(launcher="ray", order=one)) == Condition("unknown")
    gone = RayLauncher(LocalRayCluster(tmp_path / "ray", cpus=1))
    assert gone.look(Handle(launcher="ray", order=one)) == Condition("gone")
    gone.kill(Handle(launcher="ray", order=one))


def test_without_ray_or_with_one_that_asks_for_no_token_it_says_what_to_install(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = RayLauncher(LocalRayCluster(tmp_path / "ray", cpus=1))

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(ray_cluster, "version", missing)
    with pytest.raises(BadInput, match="isn't installed") as refused:
        launcher.start(order())
    assert "glassbox-llm[ray]" in refused.value.remedy
    monkeypatch.setattr(ray_cluster, "version", lambda name: "2.51.1")
    with pytest.raises(BadInput, match=r"Ray 2\.51\.1 takes commands from anybody"):
        launcher.start(order())
    assert not (tmp_path / "ray").exists()


def test_a_cluster_that_does_not_start_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalRayCluster, "_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no room')"])
    cluster = LocalRayCluster(tmp_path / "ray", cpus=1)
    with pytest.raises(BadInput, match="did not start") as refused:
        cluster.ready()
    assert "output.log" in refused.value.remedy
    assert "no room" in (tmp_path / "ray" / "output.log").read_text()
    cluster.stop()  # nothing


def test_a_server_that_ends_leaves_a_cluster_at_work_and_nothing_of_an_idle_one(
    cluster: LocalRayCluster, launcher: RayLauncher, order: Order, workspace: Workspace
) -> None:
    """The last test of this file: it ends what the others need."""
    kept = cluster._kept()
    assert kept is not None
    handle = launcher.start(order(LONG))
    launcher.close()
    at_work(launcher, handle, workspace)
    launcher.kill(handle)
    at_its_end(launcher, handle, workspace)
    launcher.close()
    assert list(bearers(kept.id)) == []
    assert not (Path(tempfile.gettempdir()) / kept.id).exists()
    assert cluster.connection() is None
