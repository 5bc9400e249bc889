"""The optimisers: SGD with momentum, Adam, AdamW; and gradient clipping.

    optimizer = AdamW(model, learning_rate=1e-3)
    model.train_step(tokens, targets, optimizer)

A schedule sets `optimizer.learning_rate` before a step. Notable: all weights are one array, and so are all gradients,
so that a step is a dozen operations on long arrays, whatever the number of weights; it goes through them a chunk at a
time, so that what one operation wrote is still in the processor's cache for the next. The state has the weights'
canonical names (`named_state`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from glassbox.engines.arrays.parameters import Array
from glassbox.engines.arrays.transformer import Transformer
from glassbox.errors import BadInput

CHUNK = 32_768  # numbers: those of weights, gradients and both moments together stay in a core's cache


class Optimizer(ABC):
    """What all of them share: a model, a learning rate, and a state with canonical names."""

    tensors: ClassVar[tuple[str, ...]] = ()  # the state: arrays as long as all weights, zero at the beginning

    def __init__(self, model: Transformer, learning_rate: float) -> None:
        self.model = model
        self.learning_rate = learning_rate
        self.steps = 0  # updates made so far
        self.state: dict[str, Array] = {name: np.zeros_like(model.parameters.values) for name in self.tensors}

    def step(self) -> None:
        """Update every weight, if there are gradients."""
        if not self.model.has_gradients:
            return
        self.steps += 1
        parameters = self.model.parameters
        for chunk in _chunks(parameters.values.size):
            state = (self.state[name][chunk] for name in self.tensors)
            self._update(parameters.values[chunk], parameters.gradients[chunk], *state)

    @abstractmethod
    def _update(self, weights: Array, gradients: Array, *state: Array) -> None:
        """Update some of the weights and their state in place."""

    def named_state(self) -> dict[str, Array]:
        """`<canonical name>.<tensor>` -> the state itself, and `steps`: all that another optimiser needs to go on."""
        state: dict[str, Array] = {"steps": np.array(self.steps, np.float32)}
        for kind, flat in self.state.items():
            state |= {f"{name}.{kind}": part for name, part in self.model.parameters.apart(flat).items()}
        return state

    def load_named_state(self, state: Mapping[str, Any]) -> None:
        """Copy in what `named_state` gave, of whatever engine.

        Raises BadInput, changing nothing, when it is of another kind of optimiser or another model.
        """
        given = {name: np.asarray(held) for name, held in state.items()}
        own = self.named_state()
        if differing := sorted(own.keys() ^ given.keys()):
            raise BadInput(
                f"The optimiser's state doesn't fit: {differing[0]} is in only one of the two.",
                "Resume with the model and the optimiser that wrote it.",
            )
        for name, array in own.items():
            if array.shape != given[name].shape:
                raise BadInput(
                    f"The optimiser's {name} has shape {given[name].shape} instead of {array.shape}.",
                    "Resume with the model that wrote it.",
                )
        for name, array in own.items():
            array[...] = given[name]
        self.steps = int(own["steps"])


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak 1964): v <- momentum v + g, w <- w - rate v."""

    tensors = ("velocity",)

    def __init__(self, model: Transformer, learning_rate: float = 0.1, *, momentum: float = 0.9) -> None:
        super().__init__(model, learning_rate)
        self.momentum = momentum

    def _update(self, weights: Array, gradients: Array, *state: Array) -> None:
        (velocity,) = state
        velocity *= self.momentum
        velocity += gradients
        weights -= self.learning_rate * velocity


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1). At step t, element by element:

    m <- beta1 m + (1 - beta1) g            first moment
    v <- beta2 v + (1 - beta2) g^2          second moment
    w <- w - rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
    """

    tensors = ("first_moment", "second_moment")

    def __init__(
        self,
        model: Transformer,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(model, learning_rate)
        self.betas, self.epsilon = betas, epsilon

    def _update(self, weights: Array, gradients: Array, *state: Array) -> None:
        m, v = state
        beta1, beta2 = self.betas
        # Both sides of the fraction times sqrt(1 - beta2^t): the corrections become two numbers, outside of the arrays.
        correction = math.sqrt(1 - beta2**self.steps)
        rate = self.learning_rate * correction / (1 - beta1**self.steps)
        m *= beta1
        m += (1 - beta1) * gradients
        change = gradients * gradients
        change *= 1 - beta2
        v *= beta2
        v += change
        np.sqrt(v, out=change)
        change += self.epsilon * correction
        np.divide(m, change, out=change)
        change *= rate
        weights -= change


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2): w <- w - rate decay w beforehand.

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
        if self.model.has_gradients:
            matrices = self.model.parameters.values[: self.model.parameters.in_matrices]
            matrices *= 1 - self.learning_rate * self.weight_decay
        super().step()


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def clip_gradients(model: Transformer, limit: float) -> float:
    """Scale all gradients down together so that their norm is at most `limit` (Pascanu et al. 2013, §3.2).

    Returns the norm of before, over all gradients as one vector; 0 when there are none.
    """
    if not model.has_gradients:
        return 0.0
    gradients = model.parameters.gradients
    norm = math.sqrt(float(np.dot(gradients, gradients)))
    if norm > limit:
        gradients *= limit / norm
    return norm


def _chunks(size: int) -> Iterator[slice]:
    for start in range(0, size, CHUNK):
        yield slice(start, min(start + CHUNK, size))
