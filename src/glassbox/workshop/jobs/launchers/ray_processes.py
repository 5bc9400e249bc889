"""The program of a Ray job of several processes: it starts them on the cluster, lets them meet, and ends with them.

    python -m glassbox.workshop.jobs.launchers.ray_processes --processes 2 --threads 1 --gpus 0 RUN --workspace ...

What follows the first three is `attempt_process`'s. All processes get their room at once or none does, so that two runs
never wait for one another with half of what they need. On one machine they meet in a file and talk on loopback; on
several, at a port of the first one's machine: then the network between them must be nobody else's.
"""

from __future__ import annotations

import argparse
import importlib
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glassbox.workshop.jobs import attempt_process
from glassbox.workshop.jobs.attempt_process import ExitCode
from glassbox.workshop.jobs.launchers.bearers import TOKEN_VARIABLE
from glassbox.workshop.jobs.launchers.loopback import loopback_variables

LAST_WORDS = 20.0  # seconds that the others have, once one is lost, to say so in the run's folder


class Member:
    """One process of the run, as an actor of Ray: its process is where the attempt runs."""

    def place(self) -> tuple[str, str, int]:
        """The machine's id in the cluster, its address, and a port that is free there."""
        ray = _ray()
        with socket.socket() as listener:
            listener.bind(("", 0))
            port: int = listener.getsockname()[1]
        return str(ray.get_runtime_context().get_node_id()), str(ray.util.get_node_ip_address()), port

    def work(self, variables: dict[str, str], given: list[str]) -> int:
        """`attempt_process` with these variables in its environment; its exit code."""
        os.environ.update(variables)
        try:
            return int(attempt_process.main(given))
        finally:
            _meeting_file().unlink(missing_ok=True)


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=__name__)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--gpus", type=float, required=True)
    chosen, rest = parser.parse_known_args(given)

    ray = _ray()
    ray.init(address="auto", log_to_driver=True)
    each: dict[str, float] = {"CPU": chosen.threads} | ({"GPU": chosen.gpus} if chosen.gpus else {})
    room = ray.util.placement_group([each] * chosen.processes, strategy="PACK")
    ray.get(room.ready())  # waits for as long as the cluster is full
    actor = ray.remote(Member).options(
        num_cpus=chosen.threads,
        num_gpus=chosen.gpus,
        max_restarts=0,
        scheduling_strategy=ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(room),
    )
    members = [actor.remote() for _ in range(chosen.processes)]
    return _work(members, rest)


def _work(members: Sequence[Any], given: list[str]) -> int:
    """Let them work to their end; the exit code of the first."""
    ray = _ray()
    places = ray.get([member.place.remote() for member in members])
    meeting = _meeting(places)
    order: dict[Any, int] = {}
    for rank, (member, place) in enumerate(zip(members, places, strict=True)):
        neighbours = [other for other, (node, *_) in enumerate(places) if node == place[0]]
        variables = meeting | {
            "RANK": str(rank),
            "WORLD_SIZE": str(len(members)),
            "LOCAL_RANK": "0",  # each sees its own GPUs only
            "LOCAL_WORLD_SIZE": str(len(neighbours)),
        }
        order[member.work.remote(variables, given)] = rank
    codes: dict[int, int] = {}
    waiting = list(order)
    while waiting:
        lost = any(code != ExitCode.FINISHED for code in codes.values())
        done, waiting = ray.wait(waiting, timeout=LAST_WORDS if lost else None)
        if not done:
            break
        codes[order[done[0]]] = _code(done[0])
    return codes.get(0, ExitCode.FAULT)


def _code(work: Any) -> int:
    ray = _ray()
    try:
        return int(ray.get(work))
    except ray.exceptions.RayError as error:
        print(error, file=sys.stderr)
        return ExitCode.FAULT


def _ray() -> Any:
    """Ray, imported when it is needed: not every server has it, and its types say nothing to a checker."""
    return importlib.import_module("ray")


def _meeting(places: Sequence[tuple[str, str, int]]) -> dict[str, str]:
    """The variables by which the processes find one another."""
    _, address, port = places[0]
    if len({node for node, *_ in places}) > 1:
        return {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
    return loopback_variables(_meeting_file())


def _meeting_file() -> Path:
    """The token makes it a file that nobody else knows."""
    return Path(tempfile.gettempdir()) / f"glassbox-{os.environ[TOKEN_VARIABLE]}-processes"


if __name__ == "__main__":
    sys.exit(main())
