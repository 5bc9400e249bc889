"""How much memory training takes, measured."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import psutil
import torch

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import Muon
from glassbox.spec import ModelSpec


def rehearse(device: torch.device) -> None:
    """Train a model of a few thousand weights for a step.

    PyTorch loads libraries and sets buffers aside at the first step, a hundred megabytes or so whatever the model; done
    before `PeakMemory` begins to count, that isn't taken for the model's.
    """
    model = Transformer(ModelSpec(vocabulary_size=8, context=32, width=64, layers=1, heads=2)).to(device)
    optimizer = Muon(model)
    tokens = model.batch([[0] * 32])
    model.train_step(tokens, tokens, optimizer)


class PeakMemory:
    """The most memory taken since this object was made, above what was taken before: bytes.

    On an accelerator it counts tensors; on a CPU the whole process, so the machine's other work isn't in it, but what
    Python itself allocates meanwhile is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = memory_in_use(device)
        self.forget_peak()

    def forget_peak(self) -> None:
        """Count the peak from now on, still above what was taken at the beginning."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        with contextlib.suppress(OSError):  # Linux forgets its high-water mark when asked so; others don't
            Path("/proc/self/clear_refs").write_text("5")

    def bytes(self) -> int:
        """Peak until now, above the beginning."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return max(0, _process_peak() - self._before)


def memory_in_use(device: torch.device) -> int:
    """Bytes taken now: by tensors on an accelerator, by the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def _process_peak() -> int:
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
