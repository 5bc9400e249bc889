"""A training step in its three parts, each timed."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from glassbox.engines.interface import Array, Optimizer, Transformer

PARTS = ("forward", "backward", "update", "step")


@dataclass(frozen=True)
class Phases:
    """Seconds of one training step."""

    forward: float
    backward: float
    update: float

    @property
    def step(self) -> float:
        return self.forward + self.backward + self.update


def timed_step(
    model: Transformer, tokens: Array, targets: Array, optimizer: Optimizer, finish: Callable[[], None] = lambda: None
) -> tuple[Array, float, Phases]:
    """What `train_step` does: the logits, the loss, and how long each part took.

    finish: waits until a device has done what it was asked to.
    """
    marks = [time.perf_counter()]
    model.zero_grad()
    logits, details = model.forward(tokens, targets)
    finish()
    marks.append(time.perf_counter())
    model.backward(details)
    finish()
    marks.append(time.perf_counter())
    optimizer.step()
    finish()
    marks.append(time.perf_counter())
    assert details.loss is not None  # targets were given
    return logits, float(details.loss.item()), Phases(*(end - start for start, end in itertools.pairwise(marks)))


def summary(times: Sequence[Phases]) -> dict[str, Any]:
    """Of each part the median, the quartiles around it, and the least, in seconds."""
    measured: dict[str, Any] = {"repeats": len(times)}
    for part in PARTS:
        seconds = [getattr(phases, part) for phases in times]
        lower, median, upper = statistics.quantiles(seconds, method="inclusive") if len(seconds) > 1 else seconds * 3
        measured[part] = {"median": median, "lower": lower, "upper": upper, "least": min(seconds)}
    return measured
