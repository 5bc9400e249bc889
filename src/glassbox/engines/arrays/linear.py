"""Matrix times vectors, forwards and backwards: where most of the arithmetic of a transformer is."""

from __future__ import annotations

from glassbox.engines.arrays.parameters import Array, Parameter


def linear(x: Array, weight: Parameter, bias: Parameter | None) -> Array:
    """y = x W^T + b: (tokens, inputs) -> (tokens, outputs)."""
    y = x @ weight.value.T
    if bias is not None:
        y += bias.value
    return y


def linear_backward(d_y: Array, x: Array, weight: Parameter, bias: Parameter | None) -> Array:
    """dx = dy W, returned;  dW = dy^T x and db = the sum of dy over tokens, added to the gradients held.

    (tokens, outputs) -> (tokens, inputs)
    """
    weight.gradient += d_y.T @ x  # (outputs, inputs)
    if bias is not None:
        bias.gradient += d_y.sum(0)
    return d_y @ weight.value
