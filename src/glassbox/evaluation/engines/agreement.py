"""The same training step in every engine: are all of its numbers PyTorch's, and how long does each engine take?

All begin with the same weights and read the same batch, in float64. Compared are the logits, the loss, every gradient,
and every weight after the update, each tensor as a whole: the largest distance between two of its numbers, divided by
the tensor's largest number. Where mathematics says zero and every engine says rounding (the gradient of a key's bias,
which moves all scores of a query alike), it is divided by a small share of the largest number of all tensors instead.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from glassbox.engines.catalogue import as_array, engine
from glassbox.engines.initialization import initial_weights
from glassbox.errors import BadInput
from glassbox.evaluation.engines.batches import batch, engine_batch
from glassbox.evaluation.engines.cost import predicted_cost, reason_to_leave_out
from glassbox.evaluation.engines.phases import Phases, summary, timed_step
from glassbox.spec import ModelSpec, count_parameters

REFERENCE = "tensors"
TOLERANCE = 1e-9
SHARE_OF_LARGEST = {"gradients": 1e-5, "weights": 0.1}  # Adam divides rounding by rounding: a weight may move by it
LEARNING_RATE = 1e-3

Numbers = dict[str, NDArray[Any]]
Progress = Callable[[int, int, str], None]
"""Told how many of how many steps are done, and of which engine the next one is."""


@dataclass(frozen=True)
class Stepped:
    """What one engine computed in the step, by canonical name."""

    logits: Numbers
    loss: Numbers
    gradients: Numbers
    weights: Numbers


@dataclass(frozen=True)
class Difference:
    """largest: of the relative differences of all tensors; worst: the tensor that has it; each: those of all."""

    largest: float
    worst: str
    each: dict[str, float]


class Contender:
    """A model of one engine with its optimiser, and the times of its steps."""

    def __init__(
        self,
        name: str,
        spec: ModelSpec,
        weights: Mapping[str, Any],
        optimizer: str,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        chosen = engine(name)
        self.model = chosen.transformer(spec, weights=weights, precision="float64")
        self.optimizer = chosen.optimizer(optimizer, self.model, learning_rate)
        self.times: list[Phases] = []

    def step(self, drawn: tuple[Any, Any]) -> tuple[Any, float]:
        """Logits and loss of one more step."""
        tokens, targets = engine_batch(self.model, drawn)
        logits, loss, phases = timed_step(self.model, tokens, targets, self.optimizer)
        self.times.append(phases)
        return logits, loss

    def first_step(self, drawn: tuple[Any, Any]) -> Stepped:
        """One step, and everything that it computed."""
        logits, loss = self.step(drawn)
        return Stepped(
            {"logits": np.array(as_array(logits))},
            {"loss": np.array(loss)},
            {name: np.array(as_array(gradient)) for name, gradient in self.model.gradients().items()},
            {name: np.array(as_array(weight)) for name, weight in self.model.weights().items()},
        )


def compare_step(
    spec: ModelSpec,
    engines: Sequence[str],
    *,
    rows: int,
    length: int,
    seed: int = 0,
    optimizer: str = "adamw",
    repeats: int = 5,
    longest_step: float = 60.0,
    threads: int = 1,
    progress: Progress = lambda done, total, name: None,
) -> dict[str, Any]:
    """The step of `rows` texts of `length` tokens in each engine and in PyTorch's: see the module.

    longest_step: an engine that is predicted to take longer than this many seconds for a step is left out, and so is
                  one that needs more memory than there is; `left_out` says what it would take.
    threads:      of PyTorch, so that cores aren't compared with one core of the others.
    repeats:      steps of each engine, taken in turns, of which the times are the medians.

    Raises BadInput for a model that PyTorch's engine cannot build or has no room for.
    """
    with torch_threads(threads):
        _refuse_too_large(spec, rows, length, longest_step)
        contenders, left_out = _contenders(spec, engines, rows, length, seed, optimizer, longest_step)
        stepped = _in_turns(contenders, batch(spec, rows, length, seed, 0), repeats, longest_step, progress)
    found = {name: _compared(stepped[name], stepped[REFERENCE]) for name in contenders}
    return {
        "model": spec.model_dump(mode="json"),
        "parameters": count_parameters(spec).total,
        "batch": rows,
        "length": length,
        "seed": seed,
        "optimizer": optimizer,
        "threads": threads,
        "precision": "float64",
        "reference": REFERENCE,
        "tolerance": TOLERANCE,
        "agree": all(each.largest <= TOLERANCE for parts in found.values() for each in parts.values()),
        "engines": {
            name: {
                "loss": float(stepped[name].loss["loss"]),
                "differences": {part: asdict(difference) for part, difference in parts.items()},
                "seconds": summary(contenders[name].times),
            }
            for name, parts in found.items()
        },
        "left_out": left_out,
    }


def _in_turns(
    contenders: Mapping[str, Contender], drawn: Any, repeats: int, longest_step: float, progress: Progress
) -> dict[str, Stepped]:
    """Let all step, A B C A B C; those whose steps took longer together than one may take stop early."""
    stepped: dict[str, Stepped] = {}
    with imports_hidden_from_garbage_collection():
        for repeat in range(repeats):
            for place, (name, contender) in enumerate(contenders.items()):
                progress(repeat * len(contenders) + place, repeats * len(contenders), name)
                if repeat == 0:
                    stepped[name] = contender.first_step(drawn)
                elif sum(phases.step for phases in contender.times) < longest_step:
                    contender.step(drawn)
    return stepped


def _refuse_too_large(spec: ModelSpec, rows: int, length: int, longest_step: float) -> None:
    reason = reason_to_leave_out(REFERENCE, predicted_cost(REFERENCE, spec, rows, length), longest_step)
    if reason is not None:
        raise BadInput(reason, "Choose a smaller model or batch, or allow a longer step: --longest-step.")


def _contenders(
    spec: ModelSpec,
    engines: Sequence[str],
    rows: int,
    length: int,
    seed: int,
    optimizer: str,
    longest_step: float,
) -> tuple[dict[str, Contender], dict[str, str]]:
    """The reference and each engine that builds this model in time, and why the others don't."""
    weights = initial_weights(spec, seed)
    contenders = {REFERENCE: Contender(REFERENCE, spec, weights, optimizer)}
    left_out: dict[str, str] = {}
    for name in engines:
        if name == REFERENCE:
            continue
        reason = reason_to_leave_out(name, predicted_cost(name, spec, rows, length), longest_step)
        if reason is None:
            try:
                contenders[name] = Contender(name, spec, weights, optimizer)
            except BadInput as error:
                reason = error.problem
        if reason is not None:
            left_out[name] = reason
    return contenders, left_out


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch computes with so many within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def imports_hidden_from_garbage_collection() -> Iterator[None]:
    """A graph of numbers makes the collector run, which then would walk all of PyTorch at the scalars engine's cost."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _compared(ours: Stepped, theirs: Stepped) -> dict[str, Difference]:
    return {
        part: difference(getattr(ours, part), getattr(theirs, part), SHARE_OF_LARGEST.get(part, 0.0))
        for part in ("logits", "loss", "gradients", "weights")
    }


def difference(ours: Numbers, theirs: Numbers, share_of_largest: float = 0.0) -> Difference:
    """The relative difference of each tensor; infinite where a name or shape is missing or another number is infinite.

    share_of_largest: a tensor whose largest number is below this share of the largest of all counts as that large.
    """
    largest_of_all = max((_largest(tensor) for tensor in theirs.values()), default=0.0)
    each = {name: float("inf") for name in ours.keys() ^ theirs.keys()}
    for name in ours.keys() & theirs.keys():
        unit = max(_largest(theirs[name]), share_of_largest * largest_of_all)
        each[name] = _distance(ours[name], theirs[name], unit)
    each = {name: each[name] for name in [*theirs, *(ours.keys() - theirs.keys())]}
    worst = max(each, key=each.__getitem__, default="")
    return Difference(each.get(worst, 0.0), worst, each)


def _distance(ours: NDArray[Any], theirs: NDArray[Any], unit: float) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True) or not np.isfinite(ours[finite]).all():
        return float("inf")
    apart = float(np.abs(ours[finite] - theirs[finite]).max(initial=0.0))
    return apart / unit if unit else (0.0 if apart == 0 else float("inf"))


def _largest(tensor: NDArray[Any]) -> float:
    return float(np.abs(tensor[np.isfinite(tensor)]).max(initial=0.0))
