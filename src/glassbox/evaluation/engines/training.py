"""The same model trained in several engines at once: the loss of every step in each, as it comes.

All begin with the same weights, read the same batches and compute in float64, turn by turn: when one engine has done a
step, the others do it too, so that their curves grow together. A step that all have done is told at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glassbox.engines.initialization import initial_weights
from glassbox.errors import BadInput
from glassbox.evaluation.engines.agreement import Contender, imports_hidden_from_garbage_collection, torch_threads
from glassbox.evaluation.engines.batches import batch, least_loss
from glassbox.evaluation.engines.cost import predicted_cost, reason_to_leave_out
from glassbox.evaluation.engines.phases import summary
from glassbox.spec import ModelSpec, count_parameters

SAME = 1e-9  # relative distance up to which two losses count as the same

StepDone = Callable[[int, Mapping[str, float]], None]
"""Told the number of steps done, and the loss that each engine had in the last one."""


@dataclass(frozen=True)
class Distance:
    """How far the losses of two engines lie apart at most: relative to the larger, at which step, of which two."""

    largest: float
    step: int | None
    between: tuple[str, str] | None


def train_side_by_side(
    spec: ModelSpec,
    engines: Sequence[str],
    *,
    rows: int,
    length: int,
    steps: int,
    seed: int = 0,
    optimizer: str = "adam",
    learning_rate: float = 1e-2,
    threads: int = 1,
    longest_step: float = 60.0,
    step_done: StepDone = lambda done, losses: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train for so many steps on `batches.py`'s batches, or until asked to stop.

    longest_step: an engine that is predicted to take longer than this many seconds for a step is left out, and so is
                  one that needs more memory than there is; `left_out` says what it would take.
    threads:      of PyTorch, so that cores aren't compared with one core of the others.

    Raises BadInput where no engine is left that builds this model in time.
    """
    contenders, left_out = _contenders(spec, engines, rows, length, seed, optimizer, learning_rate, longest_step)
    losses: dict[str, list[float]] = {name: [] for name in contenders}
    with torch_threads(threads), imports_hidden_from_garbage_collection():
        for step in range(steps):
            if stop_requested():
                break
            drawn = batch(spec, rows, length, seed, step)
            for name, contender in contenders.items():
                losses[name].append(contender.step(drawn)[1])
            step_done(step + 1, {name: each[-1] for name, each in losses.items()})
    apart = farthest_apart(losses)
    return {
        "model": spec.model_dump(mode="json"),
        "parameters": count_parameters(spec).total,
        "batch": rows,
        "length": length,
        "seed": seed,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "threads": threads,
        "precision": "float64",
        "steps": len(next(iter(losses.values()))),
        "least_loss": least_loss(spec),
        "losses": losses,
        "seconds": {name: summary(contender.times) for name, contender in contenders.items() if contender.times},
        "farthest_apart": {"relative": apart.largest, "step": apart.step, "between": apart.between},
        "same": apart.largest <= SAME,
        "left_out": left_out,
    }


def farthest_apart(losses: Mapping[str, Sequence[float]]) -> Distance:
    """The largest relative distance of two engines' losses at the same step; infinite where one alone is no number."""
    farthest = Distance(0.0, None, None)
    for place, values in enumerate(zip(*losses.values(), strict=True)):
        by_value = sorted(zip(values, losses, strict=True), key=lambda pair: (not math.isfinite(pair[0]), pair[0]))
        (low, lowest), (high, highest) = by_value[0], by_value[-1]
        if math.isfinite(low) and math.isfinite(high):
            apart = (high - low) / max(abs(low), abs(high)) if high != low else 0.0
        else:  # all of them infinite or none a number: then they agree in that
            apart = math.inf if math.isfinite(low) else 0.0
        if apart > farthest.largest:
            farthest = Distance(apart, place + 1, (lowest, highest))
    return farthest


def _contenders(
    spec: ModelSpec,
    engines: Sequence[str],
    rows: int,
    length: int,
    seed: int,
    optimizer: str,
    learning_rate: float,
    longest_step: float,
) -> tuple[dict[str, Contender], dict[str, str]]:
    """Each engine that builds this model in time, and why the others don't."""
    weights = initial_weights(spec, seed)
    contenders: dict[str, Contender] = {}
    left_out: dict[str, str] = {}
    for name in engines:
        reason = reason_to_leave_out(name, predicted_cost(name, spec, rows, length), longest_step)
        if reason is None:
            try:
                contenders[name] = Contender(name, spec, weights, optimizer, learning_rate)
            except BadInput as error:
                reason = error.problem
        if reason is not None:
            left_out[name] = reason
    if not contenders:
        raise BadInput(
            f"No engine is left to train. {next(iter(left_out.values()))}",
            "Choose a smaller model, batch or number of steps, or give more --minutes.",
        )
    return contenders, left_out
