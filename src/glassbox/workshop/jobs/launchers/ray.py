"""The launcher `ray`: an attempt is a job of a Ray cluster, which finds room for it and outlives the server.

The server speaks to the cluster's Jobs API over HTTP and never becomes a part of it. Of several processes the job is
the program that starts them on the cluster's machines and ends with them (`ray_processes.py`). Every machine sees the
workspace's folder under the same path.
"""

from __future__ import annotations

import contextlib
import shlex
from http import HTTPStatus
from typing import Any

import httpx

from glassbox.errors import BadInput
from glassbox.workshop.jobs.attempt_process import MODULE
from glassbox.workshop.jobs.launchers.interface import (
    AttemptOrder,
    Condition,
    Handle,
    Launcher,
    refuse_several_processes,
)
from glassbox.workshop.jobs.launchers.local import environment
from glassbox.workshop.jobs.launchers.ray_cluster import RayCluster

PROCESSES_MODULE = "glassbox.workshop.jobs.launchers.ray_processes"
_ALIVE = {"PENDING", "RUNNING"}


class RayLauncher(Launcher):
    """One process or several, on a cluster. A job that finds no room yet waits there, and counts as alive."""

    name = "ray"

    def __init__(self, cluster: RayCluster) -> None:
        self._cluster = cluster

    def start(self, order: AttemptOrder) -> Handle:
        """As `Launcher.start`; where the cluster is ours and has to be started first, that takes some ten seconds."""
        refuse_several_processes(order)
        client = self._cluster.ready()
        try:
            answer = client.post("/api/jobs/", json=self._job(order))
        except httpx.TransportError as error:
            if self.find(order) is None:
                raise BadInput(
                    f"The Ray cluster at {client.base_url} doesn't answer: {error}.",
                    "See whether it is there, then try again.",
                ) from error
        else:
            _require_success(answer)
        return self._handle(order)

    def find(self, order: AttemptOrder) -> Handle | None:
        handle = self._handle(order)
        return handle if self.look(handle).state == "alive" else None

    def look(self, handle: Handle) -> Condition:
        client = self._cluster.connection()
        if client is None:
            return Condition("gone")  # with the cluster
        try:
            answer = client.get(_path(handle.order))
        except httpx.TransportError:
            return Condition("unknown")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return Condition("gone")
        if not answer.is_success:
            return Condition("unknown")
        job: dict[str, Any] = answer.json()
        return Condition("alive") if job["status"] in _ALIVE else Condition("gone", job.get("driver_exit_code"))

    def kill(self, handle: Handle) -> None:
        """As `Launcher.kill`: the cluster first asks the processes to end, and kills them a second later."""
        client = self._cluster.connection()
        if client is not None:
            with contextlib.suppress(httpx.TransportError):
                client.post(f"{_path(handle.order)}/stop")

    def close(self) -> None:
        client = self._cluster.connection()
        with contextlib.suppress(httpx.TransportError):
            if client is not None and not any(job["status"] in _ALIVE for job in client.get("/api/jobs/").json()):
                self._cluster.stop()

    def _job(self, order: AttemptOrder) -> dict[str, Any]:
        module, sharing = MODULE, []
        if order.processes > 1:
            module, sharing = PROCESSES_MODULE, [f"--processes={order.processes}", f"--threads={order.threads}"]
            sharing += [f"--gpus={len(order.gpus or ()) / order.processes:g}"]
        command = shlex.join([self._cluster.python, "-m", module, *sharing, *order.arguments])
        alone = order.processes == 1
        return {
            "entrypoint": command,
            "submission_id": _submission(order),
            "entrypoint_num_cpus": order.threads if alone else 0,  # of several processes each asks for itself
            "entrypoint_num_gpus": len(order.gpus or ()) if alone else 0,
            # Which GPUs they are is the cluster's affair: it counts them.
            "runtime_env": {
                "env_vars": environment(order.model_copy(update={"gpus": None}), {}) | {"RAY_JOB_STOP_WAIT_TIME_S": "1"}
            },
            "metadata": {"run": order.run, "attempt": str(order.attempt)},
        }

    def _handle(self, order: AttemptOrder) -> Handle:
        return Handle(launcher=self.name, order=order, place={"job": _submission(order)})


def _submission(order: AttemptOrder) -> str:
    return f"glassbox-{order.token}"


def _path(order: AttemptOrder) -> str:
    return f"/api/jobs/{_submission(order)}"


def _require_success(answer: httpx.Response) -> None:
    """Raises BadInput for a cluster that takes no job from us."""
    if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise BadInput("The Ray cluster doesn't take our token.", "Give the one that `ray get-auth-token` says there.")
    if not answer.is_success:
        last = answer.text.strip().rpartition("\n")[2]
        raise BadInput(
            f"The Ray cluster didn't take the job ({answer.status_code}): {last[:300]}", "Look at its dashboard."
        )
