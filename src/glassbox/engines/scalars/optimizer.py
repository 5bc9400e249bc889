"""The optimisers: SGD with momentum, Adam, AdamW; and clipping of the gradients before them.

    optimizer = AdamW(model, learning_rate=1e-3)
    model.train_step(tokens, targets, optimizer)

A schedule sets `learning_rate` before each step. `state` has the weights' canonical names; each is a list with one
number for every number of the weight, row after row: `optimizer.state["blocks.0.attention.query"]["second_moment"]`.
"""

from __future__ import annotations

import math
from typing import ClassVar

from glassbox.engines.scalars.parameters import flat
from glassbox.engines.scalars.transformer import Transformer
from glassbox.engines.scalars.value import Vector

Numbers = list[float]


class Optimizer:
    """What all of them share: a loop over all weights, and a state with canonical names."""

    kinds: ClassVar[
        tuple[str, ...]
    ] = ()  # the state of one weight: a number for each of its own, zero at the beginning

    def __init__(self, model: Transformer, learning_rate: float) -> None:
        self.model = model
        self.learning_rate = learning_rate
        self.steps = 0  # updates made so far
        self.state: dict[str, dict[str, Numbers]] = {
            name: {kind: [0.0] * len(flat(weight)) for kind in self.kinds} for name, weight in model.parameters.items()
        }

    def step(self) -> None:
        """Update every weight, once there are gradients."""
        self.steps += 1
        if self.model.has_gradients:
            for name, weight in self.model.parameters.items():
                self._update(flat(weight), *self.state[name].values())

    def _update(self, weights: Vector, *state: Numbers) -> None:
        """Update the numbers of one weight and of its state in place."""
        raise NotImplementedError


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
        rate = self.learning_rate / (1 - beta1**self.steps)
        correction = sqrt(1 - beta2**self.steps)
        for i, weight in enumerate(weights):
            gradient = weight.grad
            first[i] = m = beta1 * first[i] + (1 - beta1) * gradient
            second[i] = v = beta2 * second[i] + (1 - beta2) * gradient * gradient
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
