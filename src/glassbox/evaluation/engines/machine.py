"""The machine that something was measured on: times of two machines can't be compared."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil


def this_machine() -> dict[str, Any]:
    """Its hardware, and the versions of what computed."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
    }


def same_hardware(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Versions may differ: what they change is what a comparison shows."""
    return all(one.get(part) == other.get(part) for part in ("system", "processor", "cores", "memory_bytes"))


def _processor() -> str:
    """Its name where the system tells."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
