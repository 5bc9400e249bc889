"""Matrix times vectors: where nearly all the time of a transformer goes."""

from __future__ import annotations

from operator import add, mul

from glassbox.engines.scalars.value import Matrix, Value, Vector, numbers


def linear(x: Matrix, weight: Matrix, bias: Vector | None) -> Matrix:
    """y = x Wᵀ + b: (length, inputs) -> (length, outputs)

    Each output is the `dot` of a row and a vector; the numbers of both are read out once and not for every output.
    """
    rows = [(row, numbers(row)) for row in weight]  # (outputs, inputs)
    y: Matrix = []
    for vector in x:
        inputs = numbers(vector)
        y.append([Value(sum(map(mul, slopes, inputs)), row + vector, inputs + slopes) for row, slopes in rows])
    return y if bias is None else [list(map(add, vector, bias)) for vector in y]


def added(a: Matrix, b: Matrix) -> Matrix:
    """a + b, number by number."""
    return [list(map(add, *rows)) for rows in zip(a, b, strict=True)]
