"""The batch that this machine digests best: doubled until it no longer fits, or no longer gains.

On an accelerator a larger batch keeps more units busy until memory ends. A CPU is busy early: past a small batch the
tokens per second stand still, and only memory and the time to the next update grow. So the answer is the knee: the
smallest micro-batch whose throughput comes close to the best one measured, among those that fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from glassbox.data.batches import Batches
from glassbox.data.shards import ShardSplit
from glassbox.errors import BadInput
from glassbox.training.memory import PeakMemory
from glassbox.training.planning import seconds_per_call
from glassbox.training.step import TrainingStep

CLOSE_ENOUGH = 0.95  # of the best throughput
GAIN = 1.05  # doubling must gain this much, or two doublings in a row, to go on


@dataclass(frozen=True)
class Trial:
    """One size tried: windows, tokens per second, and bytes at the peak."""

    batch_size: int
    tokens_per_second: float
    memory: int


@dataclass(frozen=True)
class Finding:
    """batch_size: the answer. trials: what was measured. reason: why no larger one, in a sentence."""

    batch_size: int
    trials: list[Trial]
    reason: str


def find_batch_size(measure: Callable[[int], Trial], *, memory_limit: float, largest: int = 4096) -> Finding:
    """Double the batch size from 1 and choose the knee of the throughput.

    measure:      trains a few steps with so many windows; may raise torch.OutOfMemoryError or MemoryError.
    memory_limit: bytes that training may take. Raises BadInput when one window already takes more.
    """
    trials: list[Trial] = []
    size, idle, reason = 1, 0, f"{largest:,} windows are the most that was asked for"
    while size <= largest:
        if trials and _forecast(trials) > memory_limit:
            reason = (
                f"{size:,} windows would take about {_forecast(trials) / 1e9:.2f} GB of {memory_limit / 1e9:.2f} GB"
            )
            break
        try:
            trial = measure(size)
        except (torch.OutOfMemoryError, MemoryError):
            reason = f"{size:,} windows don't fit into memory"
            break
        if trial.memory > memory_limit:
            reason = f"{size:,} windows take {trial.memory / 1e9:.2f} GB of {memory_limit / 1e9:.2f} GB"
            break
        best = max((earlier.tokens_per_second for earlier in trials), default=0.0)
        trials.append(trial)
        idle = 0 if trial.tokens_per_second > GAIN * best else idle + 1
        if idle == 2:
            reason = f"from {size // 4:,} to {size:,} windows the throughput no longer grew"
            break
        size *= 2
    if not trials:
        raise BadInput(
            f"Not even one window can be trained on: {reason}.",
            "Choose a smaller model or context, turn gradient checkpointing on, or allow more memory.",
        )
    fastest = max(trial.tokens_per_second for trial in trials)
    chosen = next(trial for trial in trials if trial.tokens_per_second >= CLOSE_ENOUGH * fastest)
    return Finding(chosen.batch_size, trials, reason)


def trial(
    make_step: Callable[[int], TrainingStep], split: ShardSplit, context: int, device: torch.device
) -> Callable[[int], Trial]:
    """What `find_batch_size` measures on real text: a few steps of a model made anew for each size."""

    def measure(size: int) -> Trial:
        memory = PeakMemory(device)
        step = make_step(size)
        batches = Batches(split, size, context, seed=0)
        seconds = seconds_per_call(lambda number: step(number, batches.batch(number), 0.0), device, seconds=0.2)
        return Trial(size, size * context / seconds, memory.bytes())

    return measure


def memory_limit(device: torch.device, share: float) -> float:
    """Bytes: this share of what is free now on the device."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return share * free


def _forecast(trials: list[Trial]) -> float:
    """Bytes of twice the last size: what each window added goes on being added."""
    last = trials[-1]
    if len(trials) == 1:
        return last.memory
    before = trials[-2]
    per_window = max(0, last.memory - before.memory) / (last.batch_size - before.batch_size)
    return last.memory + per_window * last.batch_size
