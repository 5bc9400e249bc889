"""What `glassbox spec compare` shows: any number of descriptions side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from glassbox.cli.numbers import number, size
from glassbox.pictures import Figure, Listing
from glassbox.pictures.parameters import parameters_by_part
from glassbox.spec.comparison import Counted
from glassbox.spec.weights import PARTS

if TYPE_CHECKING:
    from glassbox.evaluation.training_time import Pace
    from glassbox.workspace.prices import MachinePrice

HOUR = 3600
_UNITS = (("years", 365.25 * 24 * HOUR), ("days", 24 * HOUR), ("hours", HOUR), ("minutes", 60), ("seconds", 1))

ROWS: Mapping[str, Callable[[Counted], str]] = {
    "parameters": lambda one: f"{one.parameters.total:,}",
    "without embeddings": lambda one: f"{one.parameters.without_embeddings:,}",
    "active per token": lambda one: f"{one.parameters.active:,}",
    **{f"  {part}": (lambda one, part=part: f"{one.parameters.by_part[part]:,}") for part in PARTS},
    "FLOPs per token read": lambda one: f"{one.flops.forward:,.0f}",
    "FLOPs per token learned": lambda one: f"{one.flops.training:,.0f}",
    "memory of weights": lambda one: size(one.memory.weights),
    "memory of gradients": lambda one: size(one.memory.gradients),
    "memory of the optimiser": lambda one: size(one.memory.optimizer),
    "memory of activations": lambda one: size(one.memory.activations),
    "memory of training, at most": lambda one: size(one.memory.training),
    "cache per token": lambda one: size(one.memory.cache_per_token),
    "cache of the whole batch": lambda one: size(one.memory.cache),
    "tokens of the training": lambda one: f"{one.training_tokens:.3g}",
    "FLOPs of the training": lambda one: f"{one.training_flops:.3g}",
}


def figures(
    counted: Mapping[str, Counted],
    different: Mapping[str, Mapping[str, object]],
    times: Mapping[str, float],
    costs: Mapping[str, str],
    conditions: str,
) -> list[Figure]:
    """The parts as bars, the counts, and the fields in which the descriptions differ."""
    names = list(counted)
    rows = [[label, *(count(one) for one in counted.values())] for label, count in ROWS.items()]
    if times:
        rows.append(["time of the training", *(spoken(times[name]) if name in times else "–" for name in names)])
    if costs:
        rows.append(["cost of the training", *(costs.get(name, "–") for name in names)])
    fields = [[field, *(_value(values[name]) for name in names)] for field, values in different.items()]
    shown: list[Figure] = [
        parameters_by_part("parameters by part", {name: one.parameters for name, one in counted.items()}),
        Listing(conditions, ["", *names], rows, set(names)),
    ]
    if fields:
        shown.append(Listing("where the descriptions differ", ["", *names], fields, set(names)))
    return shown


def numbers(
    counted: Mapping[str, Counted],
    different: Mapping[str, Mapping[str, object]],
    paces: Mapping[str, Pace],
    times: Mapping[str, float],
    costs: Mapping[str, str],
) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "models": {
            name: {
                **asdict(one),
                "seconds": times.get(name),
                "cost": costs.get(name),
                "pace": None
                if name not in paces
                else {
                    "flops": paces[name].flops,
                    "of_slice": paces[name].of_slice,
                    "measured": json.loads(paces[name].measured.model_dump_json()),
                },
            }
            for name, one in counted.items()
        },
        "differences": different,
    }


def cost(seconds: float, price: MachinePrice) -> str:
    """`12.40 EUR`"""
    hours = seconds / HOUR
    return f"{float(price.hour) * hours:,.2f} {price.currency}"


def spoken(seconds: float) -> str:
    """3.4 hours · 12 days · 40 seconds"""
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {unit}" if seconds < 1e4 * length else f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def _value(value: object) -> str:
    return number(value) if not isinstance(value, dict) else json.dumps(value)
