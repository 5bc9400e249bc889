"""What a training step will take in an engine, predicted from a step of a small model, measured here and now."""

from __future__ import annotations

import functools
import time
import tracemalloc
from dataclasses import dataclass

import psutil

from glassbox.engines.catalogue import engine
from glassbox.evaluation.engines.batches import batch, engine_batch
from glassbox.spec import ModelSpec, count_flops, count_memory, preset

_LENGTH = 8
_OF_ARRAYS = ("arrays", "tensors")  # a small model would measure what their calls cost, not their arithmetic


@dataclass(frozen=True)
class Cost:
    """Of one training step: seconds, and bytes for weights, gradients, optimiser and what backward needs."""

    seconds: float
    bytes: float


def predicted_cost(name: str, spec: ModelSpec, rows: int, length: int) -> Cost:
    """By arithmetic from the measured small step: FLOPs for the time, counted numbers for the memory.

    Raises BadInput for a spec that cannot be counted or an engine that doesn't exist.
    """
    seconds_per_flop, bytes_per_byte = _measured(name)
    flops = count_flops(spec, length).training * rows * length
    memory = count_memory(spec, batch=rows, context=length, weights_in="float64", activations_in="float64")
    return Cost(seconds_per_flop * flops, bytes_per_byte * (memory.process if name == "tensors" else memory.training))


def available_memory() -> int:
    """Bytes that may be taken before the machine begins to swap."""
    return psutil.virtual_memory().available


def reason_to_leave_out(name: str, cost: Cost, longest_step: float) -> str | None:
    """A sentence when a step would take longer than allowed, or more memory than there is; else None."""
    free = available_memory()
    if cost.seconds <= longest_step and cost.bytes <= free:
        return None
    return (
        f"A step of this model would take the {name} engine about {spoken_seconds(cost.seconds)} and "
        f"{spoken_bytes(cost.bytes)} of memory; {spoken_seconds(longest_step)} are allowed and {spoken_bytes(free)} "
        "are free."
    )


@functools.cache
def _measured(name: str) -> tuple[float, float]:
    """Seconds for each FLOP of a training step, and bytes taken for each byte counted."""
    spec, chosen = preset("microgpt"), engine(name)
    if name in _OF_ARRAYS:
        spec = spec.replace(width=256)
    model = chosen.transformer(spec, precision="float64")
    optimizer = chosen.optimizer("adam", model, 1e-3)
    tokens, targets = engine_batch(model, batch(spec, 1, _LENGTH, 0, 0))
    model.train_step(tokens, targets, optimizer)
    began = time.perf_counter()
    model.train_step(tokens, targets, optimizer)
    seconds = time.perf_counter() - began
    flops = count_flops(spec, _LENGTH).training * _LENGTH
    if name == "tensors":  # PyTorch's memory is none of Python's, and the count is made for it
        return seconds / flops, 1.0
    counted = count_memory(spec, batch=1, context=_LENGTH, weights_in="float64", activations_in="float64").training
    return seconds / flops, _traced(name, spec) / counted


def _traced(name: str, spec: ModelSpec) -> int:
    """The most bytes that Python held for a model and a step of it."""
    chosen = engine(name)
    tracemalloc.start()
    try:
        model = chosen.transformer(spec, precision="float64")
        optimizer = chosen.optimizer("adam", model, 1e-3)
        tokens, targets = engine_batch(model, batch(spec, 1, _LENGTH, 0, 0))
        model.train_step(tokens, targets, optimizer)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def spoken_seconds(seconds: float) -> str:
    """5 minutes · 43 seconds · 0.012 seconds"""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 10 else f"{seconds:.2g} seconds"


def spoken_bytes(count: float) -> str:
    """1.5 GB · 2.0 MB"""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
