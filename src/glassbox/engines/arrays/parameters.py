"""The weights of a model in one flat array, their gradients in another; every tensor is a view of its stretch.

One array each, so that an optimiser's step and a norm over all gradients are a few long operations instead of a few
short ones for every tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from glassbox.spec import ModelSpec, weight_shapes

Array = NDArray[np.floating[Any]]
Tokens = NDArray[np.integer[Any]]

# A parameter's name -> the canonical weights that its rows are, in order: one matrix product in place of several.
FUSED = {
    "query_key_value": ("query", "key", "value"),
    "query_key_value_bias": ("query_bias", "key_bias", "value_bias"),
    "key_value": ("key", "value"),
    "key_value_bias": ("key_bias", "value_bias"),
    "gate_up": ("gate", "up"),
    "gate_up_bias": ("gate_bias", "up_bias"),
}


@dataclass(slots=True)
class Parameter:
    """One weight and its gradient, of one shape: views of the flat arrays."""

    value: Array
    gradient: Array

    def __getitem__(self, index: int) -> Parameter:
        """One of several matrices that are one weight."""
        return Parameter(self.value[index], self.gradient[index])


class Parameters:
    """The weights and gradients of a spec.

    values: flat, to share those of another model; None for an array of one's own, filled with zeros.
    """

    def __init__(self, spec: ModelSpec, dtype: DTypeLike, values: Array | None = None) -> None:
        self.shapes = weight_shapes(spec)
        self._begins: dict[str, int] = {}
        size = 0
        # Matrices first, so that what is done to them alone (weight decay) is done to one stretch.
        for name in sorted(_neighbours_together(self.shapes), key=lambda name: len(self.shapes[name]) < 2):
            self._begins[name] = size
            size += math.prod(self.shapes[name])
        self.in_matrices = sum(math.prod(shape) for shape in self.shapes.values() if len(shape) >= 2)
        self.values: Array = np.zeros(size, dtype) if values is None else values
        self.gradients: Array = np.zeros(size, dtype)

    def apart(self, flat: Array) -> dict[str, Array]:
        """Canonical name -> view of its stretch of `flat`: the weights, the gradients, or an optimiser's averages."""
        return {name: self._view(flat, self._begins[name], shape) for name, shape in self.shapes.items()}

    def __getitem__(self, name: str) -> Parameter:
        """By a canonical name, or a fused one (`blocks.0.attention.query_key_value`)."""
        names = _parts(name)
        shape = (sum(self.shapes[each][0] for each in names), *self.shapes[names[0]][1:])
        begin = self._begins[names[0]]
        return Parameter(self._view(self.values, begin, shape), self._view(self.gradients, begin, shape))

    def get(self, name: str) -> Parameter | None:
        """None where the spec has no such weight (`glassbox.spec.weight_shapes` is the one table of them)."""
        return self[name] if _parts(name)[0] in self.shapes else None

    def under(self, name: str) -> Scope:
        return Scope(self, name)

    @staticmethod
    def _view(flat: Array, begin: int, shape: tuple[int, ...]) -> Array:
        return flat[begin : begin + math.prod(shape)].reshape(shape)


class Scope:
    """The parameters of one part of the model, by what they are called there."""

    def __init__(self, parameters: Parameters, prefix: str) -> None:
        self._parameters = parameters
        self._prefix = prefix

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[f"{self._prefix}.{name}"]

    def get(self, name: str) -> Parameter | None:
        """None where the spec has no such weight (`glassbox.spec.weight_shapes` is the one table of them)."""
        return self._parameters.get(f"{self._prefix}.{name}")

    def under(self, name: str) -> Scope:
        return Scope(self._parameters, f"{self._prefix}.{name}")


def _parts(name: str) -> list[str]:
    """The canonical names that a name stands for: several if it is fused."""
    owner, _, last = name.rpartition(".")
    return [f"{owner}.{part}" for part in FUSED[last]] if last in FUSED else [name]


def _neighbours_together(names: dict[str, tuple[int, ...]]) -> Iterator[str]:
    """All names, those that are fused one right after another."""
    # The largest group that a part is in: what is fused of cross-attention stands at the end of it.
    group_of = {part: group for group in sorted(FUSED.values(), key=len) for part in group}
    for name in names:
        owner, _, last = name.rpartition(".")
        group = [f"{owner}.{part}" for part in group_of.get(last, (last,))] if owner else [name]
        if group[0] not in names:  # `up` without a gate stands alone
            group = [name]
        if name == group[0]:
            yield from group
