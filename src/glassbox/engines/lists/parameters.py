"""Weights and their gradients by canonical name, as nested lists."""

from __future__ import annotations

from collections.abc import Mapping
from operator import add
from typing import Any

Vector = list[float]
Matrix = list[Vector]


class Parameter:
    """One weight, a vector or a matrix, and its gradient: a list of the same shape, None before the first backward."""

    __slots__ = ("gradient", "value")

    def __init__(self, value: Any) -> None:
        self.value: Any = value
        self.gradient: Any = None

    def add_gradient(self, gradient: Any) -> None:
        """Gradients of several uses (rows of a batch, two calls of backward, a tied matrix) add up."""
        if self.gradient is None:
            self.gradient = gradient
        elif isinstance(gradient[0], list):
            self.gradient = [list(map(add, held, new)) for held, new in zip(self.gradient, gradient, strict=True)]
        else:
            self.gradient = list(map(add, self.gradient, gradient))


class Slice(Parameter):
    """One of several matrices that are one parameter: the matrix of one expert."""

    __slots__ = ("index", "whole")

    def __init__(self, whole: Parameter, index: int) -> None:
        super().__init__(whole.value[index])  # the matrix itself: what is written into one is written into the other
        self.whole = whole
        self.index = index

    def add_gradient(self, gradient: Any) -> None:
        """See `Parameter.add_gradient`; the other matrices get zeros."""
        if self.whole.gradient is None:
            self.whole.gradient = zeros_like(self.whole.value)
        own = self.whole.gradient
        own[self.index] = [list(map(add, held, new)) for held, new in zip(own[self.index], gradient, strict=True)]


class Parameters:
    """A model's parameters; each part gets `parameters.under("attention")` and asks for its own by their last name."""

    def __init__(self, by_name: Mapping[str, Parameter], prefix: str = "") -> None:
        self.by_name = by_name
        self.prefix = prefix

    def __getitem__(self, name: str) -> Parameter:
        return self.by_name[self.prefix + name]

    def get(self, name: str) -> Parameter | None:
        """None where the spec has no such weight (`glassbox.spec.weight_shapes` is the one table of them)."""
        return self.by_name.get(self.prefix + name)

    def under(self, name: str) -> Parameters:
        return Parameters(self.by_name, f"{self.prefix}{name}.")


class OneOf(Parameters):
    """Parameters of which each is one of several, those of expert `index`: what a part asks for by name is a slice."""

    def __init__(self, parameters: Parameters, index: int) -> None:
        super().__init__(parameters.by_name, parameters.prefix)
        self.index = index

    def __getitem__(self, name: str) -> Slice:
        return Slice(super().__getitem__(name), self.index)

    def get(self, name: str) -> Slice | None:
        return None if super().get(name) is None else self[name]


def rows_of(weight: Any) -> list[Any]:
    """The rows of a matrix, of several matrices one after another; a vector is its own one row."""
    if not isinstance(weight[0], list):
        return [weight]
    return [row for matrix in weight for row in matrix] if isinstance(weight[0][0], list) else weight


def zeros_like(weight: Any) -> Any:
    """Nested lists of the same shape."""
    return [zeros_like(row) for row in weight] if isinstance(weight, list) else 0.0
