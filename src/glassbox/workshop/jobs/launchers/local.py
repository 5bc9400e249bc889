"""The launcher `local`: an attempt is a process of this machine, in a session of its own.

It is no part of the server: it holds none of its files, hears none of its signals, and goes on when the server is
killed. It gets those environment variables that a computation needs, and not the server's secrets. Whatever it starts
has the order's token in its environment, and that is how all of it is found and killed (`bearers.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping

from glassbox.errors import BadInput
from glassbox.workshop.child_environment import child_environment
from glassbox.workshop.jobs.attempt_process import MODULE, output_file
from glassbox.workshop.jobs.launchers.bearers import TOKEN_VARIABLE, bearers, kill_bearers
from glassbox.workshop.jobs.launchers.interface import AttemptOrder, Condition, Handle, Launcher
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.processes import Process


class LocalLauncher(Launcher):
    """One process."""

    name = "local"

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}  # by token: those that this server started itself
        self._lock = threading.Lock()

    def start(self, order: AttemptOrder) -> Handle:
        self._check(order)
        with disk_faults_as_bad_input(order.run_folder), output_file(order.run_folder, order.attempt).open("ab") as log:
            try:
                child = subprocess.Popen(
                    self._command(order),
                    env=environment(order, os.environ) | self._variables(order),
                    cwd=order.workspace,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except (BlockingIOError, MemoryError) as error:
                raise BadInput(
                    f"This machine starts no more processes ({error}).", "Let other runs end first, then try again."
                ) from error
        with self._lock:
            self._children[order.token] = child
        return self._handle(order, child.pid)

    def find(self, order: AttemptOrder) -> Handle | None:
        first = min(bearers(order.token), key=lambda process: process.create_time(), default=None)
        return None if first is None else self._handle(order, first.pid)

    def look(self, handle: Handle) -> Condition:
        with self._lock:
            child = self._children.get(handle.order.token)
        code = None if child is None else child.poll()
        process = Process.model_validate(handle.place["process"])
        alive = process.is_alive()
        if alive is None:
            return Condition("unknown")
        if (alive and code is None) or any(bearers(handle.order.token)):
            return Condition("alive")
        return Condition("gone", code)

    def kill(self, handle: Handle) -> None:
        kill_bearers(handle.order.token)

    def _check(self, order: AttemptOrder) -> None:
        """Raises BadInput for what this launcher can't start."""
        if order.processes > 1:
            raise BadInput(
                f"The launcher {self.name} starts one process, not {order.processes}.",
                "Choose the launcher torchrun, or ray.",
            )

    def _command(self, order: AttemptOrder) -> list[str]:
        return [sys.executable, "-m", MODULE, *order.arguments]

    def _variables(self, order: AttemptOrder) -> dict[str, str]:
        """What its processes find in their environment besides."""
        return {}

    def _handle(self, order: AttemptOrder, pid: int) -> Handle:
        return Handle(launcher=self.name, order=order, place={"process": Process.of(pid).model_dump()})


def environment(order: AttemptOrder, own: Mapping[str, str]) -> dict[str, str]:
    """What an attempt's process finds in its environment, of a server's `own` and by its order."""
    kept = child_environment(own, threads=order.threads)
    if order.gpus is not None:
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, order.gpus))
    return kept | {TOKEN_VARIABLE: order.token}
