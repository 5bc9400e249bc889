"""How much memory training takes, measured."""

from __future__ import annotations

import torch

from glassbox.engines import memory
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
        memory.give_back()
        self.before = memory_in_use(device)
        """Bytes that were taken already: Python, PyTorch, and what else there is."""
        self.forget_peak()

    def forget_peak(self) -> None:
        """Count the peak from now on, still above what was taken at the beginning."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        memory.give_back()
        memory.forget_peak()

    def bytes(self) -> int:
        """Peak until now, above the beginning."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self.before
        return max(0, memory.peak() - self.before)


def memory_in_use(device: torch.device) -> int:
    """Bytes taken now: by tensors on an accelerator, by the process on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else memory.resident()
