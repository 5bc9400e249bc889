"""Central finite differences: the referee that knows no formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glassbox.engines.arrays.parameters import Array, Parameters

STEP = 1e-5


def slopes(function: Callable[[], float], numbers: Array) -> Array:
    """How much `function` grows with each of the numbers that it reads, (f(x + h) - f(x - h)) / 2h."""
    found = np.empty_like(numbers)
    for place in np.ndindex(numbers.shape):
        before = numbers[place]
        numbers[place] = before + STEP
        above = function()
        numbers[place] = before - STEP
        below = function()
        numbers[place] = before
        found[place] = (above - below) / (2 * STEP)
    return found


def assert_slopes(found: Array, expected: Array, what: str) -> None:
    """No number further apart than 1e-6 of the largest (or of one, where all are small)."""
    assert found.shape == expected.shape, what
    largest = max(float(np.abs(expected).max(initial=0)), 1.0)
    assert np.abs(found - expected).max(initial=0) <= 1e-6 * largest, what


def assert_backward(
    forward: Callable[[Array], Array],
    backward: Callable[[Array], Array],
    x: Array,
    parameters: Parameters,
    seed: int = 0,
) -> None:
    """The backward pass of a part gives the slopes of its forward pass, by what comes in and by every weight.

    What is differentiated is a weighted sum of all that comes out, the weights drawn, so that no two errors cancel.
    """
    importance = np.random.default_rng(seed).normal(size=forward(x).shape)
    parameters.gradients.fill(0)
    forward(x)
    d_x = backward(importance.copy())

    def total() -> float:
        return float((forward(x) * importance).sum())

    assert_slopes(d_x, slopes(total, x), "what comes in")
    gradients = parameters.apart(parameters.gradients.copy())
    for name, weight in parameters.apart(parameters.values).items():
        assert_slopes(gradients[name], slopes(total, weight), name)


def drawn(parameters: Parameters, seed: int = 1) -> Parameters:
    """Every weight drawn at random, gains and biases too."""
    parameters.values[:] = np.random.default_rng(seed).normal(0, 0.7, parameters.values.size)
    return parameters
