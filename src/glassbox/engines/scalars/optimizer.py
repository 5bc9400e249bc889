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
from glassbox.engines.lists.parameters import rows_of, zeros_like
from glassbox.engines.scalars.parameters import flat
from glassbox.engines.scalars.transformer import Transformer
from glassbox.engines.scalars.value import Vector
from glassbox.errors import BadInput
from glassbox.spec import weight_shapes

Numbers = list[float]


class Optimizer(ABC):
    """What all of them share: a loop over the rows of every weight, and a state with canonical names."""

    kinds: ClassVar[tuple[str, ...]] = ()  # the state of one weight: lists of its shape, zero at the beginning

    def __init__(self, model: Transformer, learning_rate: float) -> None:
        self.model = model
        self.learning_rate = learning_rate
        self.steps = 0  # updates made so far
        self.state: dict[str, dict[str, Any]] = {
            name: {kind: zeros_like(weight) for kind in self.kinds} for name, weight in model.parameters.items()
        }

    def step(self) -> None:
        """Update every weight, if there are gradients."""
        self.steps += 1
        if self.model.has_gradients:
            for name, weight in self.model.parameters.items():
                for rows in zip(*map(rows_of, (weight, *self.state[name].values())), strict=True):
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
    def _update(self, weights: Vector, *state: Numbers) -> None:
        """Update one row of a weight and of its state in place."""


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak 1964): v ← momentum·v + g, w ← w - rate·v."""

    kinds = ("velocity",)

    def __init__(self, model: Transformer, learning_rate: float = 0.1, *, momentum: float = 0.9) -> None:
        super().__init__(model, learning_rate)
        self.momentum = momentum

    def _update(self, weights: Vector, *state: Numbers) -> None:
        (velocity,) = state
        for i, weight in enumerate(weights):
            velocity[i] = self.momentum * velocity[i] + weight.grad
            weight.data -= self.learning_rate * velocity[i]


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

    def _update(self, weights: Vector, *state: Numbers) -> None:
        first, second = state
        (beta1, beta2), epsilon, sqrt = self.betas, self.epsilon, math.sqrt
        rest1, rest2 = 1 - beta1, 1 - beta2
        rate = self.learning_rate / (1 - beta1**self.steps)
        correction = sqrt(1 - beta2**self.steps)
        for i, weight in enumerate(weights):
            gradient = weight.grad
            first[i] = m = beta1 * first[i] + rest1 * gradient
            second[i] = v = beta2 * second[i] + rest2 * gradient * gradient
            weight.data -= rate * m / (sqrt(v) / correction + epsilon)


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
        for weight in self.model.parameters.values():
            if self.model.has_gradients and isinstance(weight[0], list):
                for value in flat(weight):
                    value.data *= left
        super().step()


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def clip_gradients(model: Transformer, limit: float) -> float:
    """Scale all gradients down together so that their norm, √Σg², is at most `limit` (Pascanu et al. 2013, §3.2).

    Returns the norm before.
    """
    values = [value for weight in model.parameters.values() for value in flat(weight)]
    norm = math.sqrt(sum(value.grad * value.grad for value in values))
    if norm > limit:
        for value in values:
            value.grad *= limit / norm
    return norm
