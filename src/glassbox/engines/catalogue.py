"""The four engines by name, behind one way to build a model, an optimiser, and a step.

    engine = engine("arrays")
    model = engine.transformer(spec, seed=0)
    optimizer = engine.optimizer("adamw", model, learning_rate=1e-3)
    optimizer.learning_rate = 5e-4  # what a schedule sets before a step

An engine is imported when a model is built: listing them needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.interface import Transformer
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec

ENGINES: Mapping[str, str] = {
    "scalars": "every number a node of a graph that differentiates itself; to be read, and the slowest",
    "lists": "nested lists and loops, each backward pass by hand, standard library only",
    "arrays": "NumPy, each backward pass by hand; the fastest for small models on a processor",
    "tensors": "PyTorch; for real work",
}
"""Name → what its numbers live in."""

Precision = Literal["float32", "float64"]
_OF_PYTHON = ("scalars", "lists")  # their numbers are Python's own, which are float64


class Optimizer(Protocol):
    """What the optimisers of all engines have in common."""

    learning_rate: float
    """Of the next step."""

    def step(self) -> None: ...
    def named_state(self) -> dict[str, Any]: ...
    def load_named_state(self, state: Mapping[str, Any], /) -> None: ...


def engine(name: str) -> Engine:
    """Raises BadInput that names the engines there are."""
    if name not in ENGINES:
        raise BadInput(f"There is no engine called {name!r}.", f"Choose one of {', '.join(ENGINES)}.")
    return Engine(name)


@dataclass(frozen=True)
class Engine:
    """One of `ENGINES`."""

    name: str

    def transformer(
        self,
        spec: ModelSpec,
        seed: int = 0,
        *,
        weights: Mapping[str, Any] | None = None,
        precision: Precision | None = None,
    ) -> Transformer:
        """A model with the given weights, or with those that the seed draws.

        precision: of everything that is computed; None is the engine's own (float32, and float64 of scalars and lists).

        Raises BadInput for a spec that the engine doesn't build and for a precision that it doesn't compute in.
        """
        build = import_module(f"glassbox.engines.{self.name}").Transformer
        if self.name in _OF_PYTHON:
            if precision == "float32":
                raise BadInput(
                    f"The {self.name} engine computes with Python's numbers, which are float64.",
                    "Choose float64, or the engine arrays or tensors.",
                )
            return build(spec, seed, weights=weights)
        if self.name == "arrays":
            return build(spec, seed, weights=weights, dtype=precision or "float32")
        model = build(spec, seed)
        if precision == "float64":
            model = model.double()
        if weights is not None:
            model.load_weights(weights)
        return model

    def optimizer(self, kind: str, model: Transformer, learning_rate: float, **options: Any) -> Optimizer:
        """options: as the optimiser's class takes them (`weight_decay`, `betas`, `momentum`).

        Raises BadInput for a kind that this engine hasn't, naming those that it has.
        """
        kinds = self._optimizers.OPTIMIZERS
        if kind not in kinds:
            raise BadInput(
                f"The {self.name} engine has no optimiser called {kind!r}.", f"Choose one of {', '.join(kinds)}."
            )
        return kinds[kind](model, learning_rate, **options)

    def clip_gradients(self, model: Transformer, limit: float) -> float:
        """Scale all gradients down together so that their norm is at most `limit`. Returns the norm before."""
        return float(self._optimizers.clip_gradients(model, limit))

    @property
    def _optimizers(self) -> Any:
        return import_module(f"glassbox.engines.{self.name}.optimizer")


def as_array(value: Any) -> NDArray[Any]:
    """A weight, a gradient, an intermediate value or an optimiser's state of any engine as a NumPy array.

    Numbers of Python and `Value`s become float64, what is an array or a tensor keeps its precision.
    """
    if hasattr(value, "detach"):  # a tensor
        return value.detach().cpu().numpy()
    return np.asarray(value) if hasattr(value, "dtype") else np.array(value, np.float64)
