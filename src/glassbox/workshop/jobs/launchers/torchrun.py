"""The launcher `torchrun`: several processes of this machine that share one run's work.

`torch.distributed.run` starts them, tells each its rank, and ends all when one is lost; it never starts them anew (the
run is resumed instead, by whoever decides that). They find one another through a file and talk on the loopback device,
so that no port of theirs can be reached from elsewhere.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from glassbox.workshop.jobs.attempt_process import MODULE
from glassbox.workshop.jobs.launchers.interface import AttemptOrder, Condition, Handle, refuse_several_processes
from glassbox.workshop.jobs.launchers.local import LocalLauncher
from glassbox.workshop.jobs.launchers.loopback import loopback_variables

_WHO = ("agent", "processes")


class TorchrunLauncher(LocalLauncher):
    """Several processes of this machine."""

    name = "torchrun"

    def look(self, handle: Handle) -> Condition:
        condition = super().look(handle)
        if condition.state == "gone":
            for who in _WHO:
                _meeting_file(handle.order, who).unlink(missing_ok=True)
        return condition

    def _check(self, order: AttemptOrder) -> None:
        refuse_several_processes(order)

    def _command(self, order: AttemptOrder) -> list[str]:
        return [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes=1", f"--nproc-per-node={order.processes}", "--max-restarts=0", "--local-addr=127.0.0.1"),
            *(f"--rdzv-id={order.token}", "--rdzv-backend=c10d", "--rdzv-conf=store_type=file"),
            f"--rdzv-endpoint={_meeting_file(order, 'agent')}",
            *("--module", MODULE, *order.arguments),
        ]

    def _variables(self, order: AttemptOrder) -> dict[str, str]:
        return loopback_variables(_meeting_file(order, "processes")) | {
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # else it listens on every device for a meeting of its own
        }


def _meeting_file(order: AttemptOrder, who: str) -> Path:
    """The token makes it a file that nobody else knows."""
    return Path(tempfile.gettempdir()) / f"glassbox-{order.token}-{who}"
