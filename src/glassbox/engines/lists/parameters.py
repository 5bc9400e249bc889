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


class Parameters:
    """A model's parameters; each part gets `parameters.under("attention")` and asks for its own by their last name."""

    def __init__(self, by_name: Mapping[str, Parameter], prefix: str = "") -> None:
        self.by_name = by_name
        self._prefix = prefix

    def __getitem__(self, name: str) -> Parameter:
        return self.by_name[self._prefix + name]

    def get(self, name: str) -> Parameter | None:
        """None where the spec has no such weight (`glassbox.spec.weight_shapes` is the one table of them)."""
        return self.by_name.get(self._prefix + name)

    def under(self, name: str) -> Parameters:
        return Parameters(self.by_name, f"{self._prefix}{name}.")


def rows_of(weight: Any) -> list[Any]:
    """The rows of a matrix; a vector is its own one row."""
    return weight if isinstance(weight[0], list) else [weight]


def zeros_like(weight: Any) -> Any:
    """Nested lists of the same shape."""
    return [zeros_like(row) for row in weight] if isinstance(weight, list) else 0.0
