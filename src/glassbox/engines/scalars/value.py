"""`Value`: a number that remembers how it was made, so that slopes can be followed back through it.

    a, b = Value(2.0), Value(3.0)
    c = a * b + a
    c.backward()
    a.grad, b.grad                        # 4.0, 2.0: how much c grows when a, or b, grows by one

Reverse-mode automatic differentiation (Linnainmaa 1970) needs of each operation its result and, for each number that
it read, the slope of the result towards that number. Both are known when the result is computed, so that a `Value`
holds nothing else, and an operation is one line. Following the slopes back is `backward`.

Notable: an operation may read many numbers at once. `dot` and `total` make one Value of a whole sum, where additions
and multiplications one by one would make two for every product: most of the work of a transformer is sums of
products, so this alone makes a training step several times faster, and changes no number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from operator import attrgetter, mul

_births = count()


class Value:
    """A number, the values that it was computed from, and its slope towards each of them.

    data:    the number.
    grad:    how much the value on which `backward` was called grows when this one grows by one.
    parents: what it was computed from; none for a number that was given (a weight).
    slopes:  d self / d parent, one for each parent.
    born:    its place in the order in which all values were made.
    """

    __slots__ = ("born", "data", "grad", "parents", "slopes")

    def __init__(self, data: float, parents: Sequence[Value] = (), slopes: Sequence[float] = ()) -> None:
        self.data = data
        self.grad = 0.0
        self.parents = parents
        self.slopes = slopes
        self.born = next(_births)

    def backward(self) -> None:
        """The chain rule from this value back to everything that it was made from.

        A value that several others read gets the sum of what comes through each. Numbers that were given add the new
        gradient to the one that they hold, until someone sets it to zero; numbers that were computed hold the gradient
        of the latest call alone.
        """
        if not self.parents:
            self.grad += 1.0
            return
        computed: set[Value] = {self}
        unread: list[Value] = [self]
        while unread:  # a list and no recursion: a chain of a million values is as good as any other
            for parent in unread.pop().parents:
                if parent.parents and parent not in computed:
                    computed.add(parent)
                    unread.append(parent)
        for value in computed:
            value.grad = 0.0
        self.grad = 1.0
        # Nothing can be made before its parents: with the youngest first, a value has heard from all that read it
        # before it hands its gradient on.
        for value in sorted(computed, key=attrgetter("born"), reverse=True):
            grad = value.grad
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                parent.grad += slope * grad

    def __add__(self, other: Value | float) -> Value:
        if isinstance(other, Value):
            return Value(self.data + other.data, (self, other), (1.0, 1.0))
        return Value(self.data + other, (self,), (1.0,))

    def __sub__(self, other: Value | float) -> Value:
        if isinstance(other, Value):
            return Value(self.data - other.data, (self, other), (1.0, -1.0))
        return Value(self.data - other, (self,), (1.0,))

    def __mul__(self, other: Value | float) -> Value:
        if isinstance(other, Value):
            return Value(self.data * other.data, (self, other), (other.data, self.data))
        return Value(self.data * other, (self,), (other,))

    def __truediv__(self, other: Value | float) -> Value:
        if isinstance(other, Value):
            quotient = self.data / other.data
            return Value(quotient, (self, other), (1 / other.data, -quotient / other.data))
        return Value(self.data / other, (self,), (1 / other,))

    def __pow__(self, exponent: float) -> Value:
        slope = exponent * self.data ** (exponent - 1) if exponent else 0.0
        return Value(self.data**exponent, (self,), (slope,))

    def __neg__(self) -> Value:
        return Value(-self.data, (self,), (-1.0,))

    def __rsub__(self, other: float) -> Value:
        return Value(other - self.data, (self,), (-1.0,))

    def __rtruediv__(self, other: float) -> Value:
        quotient = other / self.data
        return Value(quotient, (self,), (-quotient / self.data,))

    __radd__ = __add__
    __rmul__ = __mul__

    def exp(self) -> Value:
        result = math.exp(self.data)
        return Value(result, (self,), (result,))

    def log(self) -> Value:
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def tanh(self) -> Value:
        result = math.tanh(self.data)
        return Value(result, (self,), (1 - result * result,))

    def sigmoid(self) -> Value:
        """1 / (1 + exp(-x)), for x < 0 as exp(x) / (1 + exp(x)): exp never gets a number that it overflows on."""
        small = math.exp(-abs(self.data))
        result = (1.0 if self.data >= 0 else small) / (1 + small)
        return Value(result, (self,), (result * (1 - result),))

    def erf(self) -> Value:
        """2/√π ∫₀ˣ exp(-t²) dt, which the exact GELU is made of."""
        slope = 2 / math.sqrt(math.pi) * math.exp(-self.data * self.data)
        return Value(math.erf(self.data), (self,), (slope,))

    def relu(self) -> Value:
        return Value(self.data, (self,), (1.0,)) if self.data > 0 else Value(0.0, (self,), (0.0,))

    def item(self) -> float:
        return self.data

    __float__ = item

    def __repr__(self) -> str:
        return f"Value({self.data!r}, grad={self.grad!r})"


Vector = list[Value]
Matrix = list[Vector]


def numbers(values: Sequence[Value]) -> list[float]:
    """The numbers alone."""
    return [value.data for value in values]


def forgotten(values: Sequence[Value]) -> Vector:
    """The same numbers as if they had been given: nothing flows back through them."""
    return [Value(value.data) for value in values]


def dot(a: Vector, b: Vector) -> Value:
    """Σ aᵢ bᵢ as one value: its slope towards aᵢ is bᵢ, and towards bᵢ it is aᵢ."""
    a_numbers, b_numbers = numbers(a), numbers(b)
    return Value(sum(map(mul, a_numbers, b_numbers)), a + b, b_numbers + a_numbers)


def total(values: Vector) -> Value:
    """Σ vᵢ as one value: its slope towards each is 1."""
    return Value(sum(numbers(values)), values, [1.0] * len(values))
