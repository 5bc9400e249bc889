""" "Train for three minutes" as a number of steps, decided once.

A schedule must know where it ends, and a resumed run must end where the first attempt would have. So a few steps are
measured before the first one, the number that fits is written down, and from then on only that number counts. A
machine that becomes faster or slower later makes the run shorter or longer than asked for, never different.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from glassbox.errors import BadInput
from glassbox.training.throughput import wait_for

FEWEST_STEPS = 3  # measured, after one that warms caches up (and compiles)


@dataclass(frozen=True)
class Pace:
    """Seconds that each thing takes on this machine: one step, one evaluation, the full validation, one checkpoint."""

    step: float
    evaluation: float = 0.0
    full_validation: float = 0.0
    checkpoint: float = 0.0

    def predict(self, steps: int, evaluations: int, checkpoints: int) -> float:
        """Seconds of a whole run."""
        during = steps * self.step + evaluations * self.evaluation + checkpoints * self.checkpoint
        return during + self.full_validation

    def steps_within(self, seconds: float, evaluations: int, checkpoints: int) -> int:
        """How many steps fit into the seconds left. Raises BadInput if not one does."""
        steps = math.floor((seconds - self.predict(0, evaluations, checkpoints)) / self.step)
        if steps < 1:
            raise BadInput(
                f"Not one training step fits into the {max(0, seconds):.3g} seconds left: it takes {self.step:.3g} s, "
                f"and evaluations and checkpoints {self.predict(0, evaluations, checkpoints):.3g} s.",
                "Give more time, or choose a smaller model, batch or context.",
            )
        return steps


def seconds_per_call(call: Callable[[int], object], device: torch.device, seconds: float) -> float:
    """The mean time of call(1), call(2), ... over about `seconds`, after call(0), which isn't counted."""
    call(0)
    wait_for(device)
    start, calls = time.perf_counter(), 0
    while calls < FEWEST_STEPS or time.perf_counter() - start < seconds:
        calls += 1
        call(calls)
        wait_for(device)
    return (time.perf_counter() - start) / calls


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start
