"""Matrix times vectors, forwards and backwards: where nearly all the time of a transformer goes."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from operator import add, mul

from glassbox.engines.lists.parameters import Matrix, Parameter

if sys.version_info >= (3, 12):
    dot = math.sumprod
else:

    def dot(a: Iterable[float], b: Iterable[float]) -> float:
        """The sum of the products, without a loop in Python."""
        return sum(map(mul, a, b))


def linear(x: Matrix, weight: Parameter, bias: Parameter | None) -> Matrix:
    """y = x Wᵀ + b: (length, inputs) -> (length, outputs)"""
    rows: Matrix = weight.value  # (outputs, inputs)
    y = [[dot(row, vector) for row in rows] for vector in x]
    return y if bias is None else [list(map(add, vector, bias.value)) for vector in y]


def linear_backward(d_y: Matrix, x: Matrix, weight: Parameter, bias: Parameter | None) -> Matrix:
    """dx = dy W, dW = dyᵀ x, db = Σ dy over the tokens: (length, outputs) -> (length, inputs)"""
    outputs = list(zip(*d_y, strict=True))  # (outputs, length)
    inputs = list(zip(*x, strict=True))  # (inputs, length)
    weight.add_gradient([[dot(d_output, channel) for channel in inputs] for d_output in outputs])
    if bias is not None:
        bias.add_gradient(list(map(sum, outputs)))
    columns = list(zip(*weight.value, strict=True))  # (inputs, outputs)
    return [[dot(d_vector, column) for column in columns] for d_vector in d_y]


def added(a: Matrix, b: Matrix) -> Matrix:
    """a + b, number by number."""
    return [list(map(add, *rows)) for rows in zip(a, b, strict=True)]
