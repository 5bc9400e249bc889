"""The memory of this process, whatever took it: Python, NumPy or PyTorch."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from pathlib import Path

import psutil


def resident() -> int:
    """Bytes held now."""
    return psutil.Process().memory_info().rss


def forget_peak() -> None:
    """Let `peak` begin anew where the system can (Linux); elsewhere it stays the peak since the process began."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def give_back() -> None:
    """Give the system back what is free inside of this process, where the C library can (glibc).

    Otherwise the gaps of what was done before count as memory of what is measured next.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def peak() -> int:
    """The most bytes held at once."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
