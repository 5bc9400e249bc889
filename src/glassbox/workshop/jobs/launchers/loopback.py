"""How processes of one machine find one another without opening a port to anybody else."""

from __future__ import annotations

import sys
from pathlib import Path

_DEVICE = "lo0" if sys.platform == "darwin" else "lo"


def loopback_variables(file: Path) -> dict[str, str]:
    """Environment variables that let them meet in this file, and talk on the loopback device.

    The file is on the machine's own disk, because they lock it.
    """
    return {
        "GLASSBOX_RENDEZVOUS": f"file://{file}",  # `training.parallel`'s, which can't be imported without PyTorch
        "GLOO_SOCKET_IFNAME": _DEVICE,
        "NCCL_SOCKET_IFNAME": _DEVICE,
    }
