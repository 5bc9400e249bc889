"""Weights by canonical name, as nested lists of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Parameters:
    """A model's weights; each part gets `parameters.under("attention")` and asks for its own by their last name."""

    def __init__(self, by_name: Mapping[str, Any], prefix: str = "") -> None:
        self.by_name = by_name
        self.prefix = prefix

    def __getitem__(self, name: str) -> Any:
        return self.by_name[self.prefix + name]

    def get(self, name: str) -> Any:
        """None where the spec has no such weight (`glassbox.spec.weight_shapes` is the one table of them)."""
        return self.by_name.get(self.prefix + name)

    def under(self, name: str) -> Parameters:
        return Parameters(self.by_name, f"{self.prefix}{name}.")


class OneOf(Parameters):
    """Weights of which each is one of several: what a part asks for by name is the matrix of expert `index`."""

    def __init__(self, parameters: Parameters, index: int) -> None:
        super().__init__(parameters.by_name, parameters.prefix)
        self.index = index

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name)[self.index]

    def get(self, name: str) -> Any:
        return None if super().get(name) is None else self[name]


def flat(weight: Any) -> list[Any]:
    """The numbers of a vector, or of a matrix row after row."""
    return [number for row in weight for number in flat(row)] if isinstance(weight[0], list) else weight


def nested(weight: Any, function: Callable[[Any], Any]) -> Any:
    """Nested lists of the same shape with the function of each number."""
    return [nested(inner, function) for inner in weight] if isinstance(weight, list) else function(weight)
