"""The optimisers: SGD with momentum, Adam, AdamW; and clipping of the gradients before them.

    optimizer = AdamW(model, learning_rate=1e-3)
    model.train_step(tokens, targets, optimizer)

A schedule sets `learning_rate` before each step. `state` has the weights' canonical names:
`optimizer.state["blocks.0.attention.query"]["second_moment"]`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from glassbox.engines.lists.checks import numbers
from glassbox.engines.lists.linear import dot
from glassbox.engines.lists.parameters import Vector, rows_of, zeros_like
from glassbox.engines.lists.transformer import Transformer
from glassbox.errors import BadInput
from glassbox.spec import weight_shapes


class Optimizer(ABC):
    """What all of them share: a loop over the rows of every weight, and a state with canonical names."""

    kinds: ClassVar[tuple[str, ...]] = ()  # the state of one weight: lists of its shape, zero at the beginning

    def __init__(self, model: Transformer, learning_rate: float) -> None:
        self.model = model
        self.learning_rate = learning_rate
        self.steps = 0  # updates made so far
        self.state: dict[str, dict[str, Any]] = {
            name: {kind: zeros_like(parameter.value) for kind in self.kinds}
            for name, parameter in model.parameters.items()
        }

    def step(self) -> None:
        """Update every weight that has a gradient."""
        self.steps += 1
        for name, parameter in self.model.parameters.items():
            if parameter.gradient is not None:
                held = (parameter.value, parameter.gradient, *self.state[name].values())
                for rows in zip(*map(rows_of, held), strict=True):
                    self._update(*rows)

    def named_state(self) -> dict[str, Any]:
        """`<canonical name>.<kind>` -> the state itself, and `steps`: all that another optimiser needs to go on."""
        kinds = {f"{name}.{kind}": held for name, state in self.state.items() for kind, held in state.items()}
        return {"steps": self.steps, **kinds}

    def load_named_state(self, state: Mapping[str, Any]) -> None:
        """Copy in what `named_state` gave, of whatever engine: nested lists or anything with `.tolist()`.

        Raises BadInput, changing nothing, when it is of another kind of optimiser or another model.
        """
        own = self.named_state()
        if differing := sorted(own.keys() ^ state.keys()):
            raise BadInput(
                f"The optimiser's state doesn't fit: {differing[0]} is in only one of the two.",
                "Resume with the model and the optimiser that wrote it.",
            )
        shapes = weight_shapes(self.model.spec)
        new = {
            (name, kind): numbers(f"The optimiser's {name}.{kind}", state[f"{name}.{kind}"], shapes[name])
            for name in self.state
            for kind in self.kinds
        }
        for (name, kind), held in new.items():
            self.state[name][kind] = held
        self.steps = int(state["steps"])

    @abstractmethod
    def _update(self, weights: Vector, gradients: Vector, *state: Vector) -> None:
        """Update one row of a weight and of its state in place."""


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak 1964): v ← momentum·v + g, w ← w - rate·v."""

    kinds = ("velocity",)

    def __init__(self, model: Transformer, learning_rate: float = 0.1, *, momentum: float = 0.9) -> None:
        super().__init__(model, learning_rate)
        self.momentum = momentum

    def _update(self, weights: Vector, gradients: Vector, *state: Vector) -> None:
        (velocity,) = state
        rate, momentum = self.learning_rate, self.momentum
        velocity[:] = [momentum * v + g for v, g in zip(velocity, gradients, strict=True)]
        weights[:] = [w - rate * v for w, v in zip(weights, velocity, strict=True)]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1). At step t, number by number:

    m ← beta1·m + (1 - beta1)·g            first moment
    v ← beta2·v + (1 - beta2)·g²           second moment
    w ← w - rate · m/(1 - beta1ᵗ) / (√(v/(1 - beta2ᵗ)) + epsilon)
    """

    kinds = ("first_moment", "second_moment")

    def __init__(
        self,
        model: Transformer,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(model, learning_rate)
        self.betas = betas
        self.epsilon = epsilon

    def _update(self, weights: Vector, gradients: Vector, *state: Vector) -> None:
        first, second = state
        (beta1, beta2), epsilon, sqrt = self.betas, self.epsilon, math.sqrt
        rest1, rest2 = 1 - beta1, 1 - beta2
        rate = self.learning_rate / (1 - beta1**self.steps)
        correction = sqrt(1 - beta2**self.steps)
        first[:] = [beta1 * m + rest1 * g for m, g in zip(first, gradients, strict=True)]
        second[:] = [beta2 * v + rest2 * g * g for v, g in zip(second, gradients, strict=True)]
        moments = zip(weights, first, second, strict=True)
        weights[:] = [w - rate * m / (sqrt(v) / correction + epsilon) for w, m, v in moments]


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2): w ← w - rate·decay·w beforehand.

    Matrices decay, gains and biases don't.
    """

    def __init__(
        self,
        model: Transformer,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(model, learning_rate, betas=betas, epsilon=epsilon)
        self.weight_decay = weight_decay

    def step(self) -> None:
        left = 1 - self.learning_rate * self.weight_decay
        for parameter in self.model.parameters.values():
            if parameter.gradient is not None and isinstance(parameter.value[0], list):
                for row in rows_of(parameter.value):
                    row[:] = [left * weight for weight in row]
        super().step()


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def clip_gradients(model: Transformer, limit: float) -> float:
    """Scale all gradients down together so that their norm, √Σg², is at most `limit` (Pascanu et al. 2013, §3.2).

    Returns the norm before.
    """
    gradients = [rows_of(gradient) for gradient in model.gradients().values()]
    norm = math.sqrt(sum(dot(row, row) for rows in gradients for row in rows))
    if norm > limit:
        for rows in gradients:
            for row in rows:
                row[:] = [gradient * (limit / norm) for gradient in row]
    return norm
