"""How a token knows where it stands: tables that depend on the spec alone, and who may look at whom."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glassbox.engines.lists.parameters import Matrix, Vector
from glassbox.spec import ModelSpec
from glassbox.spec.rotary import rotary_frequencies

Turn = tuple[Vector, Vector]  # cosines and sines of one position, each (rotated_width / 2,)


def sinusoidal_vector(position: int, width: int) -> Vector:
    """(width,): sine in even channels, cosine in odd, wavelengths 2 pi to 20,000 pi (Vaswani 2017, §3.5)."""
    angles = [position * 10_000.0 ** (-channel / width) for channel in range(0, width, 2)]
    return [function(angle) for angle in angles for function in (math.sin, math.cos)]


def rotary_turn(position: int, frequencies: Sequence[float]) -> Turn:
    """Cosines and sines for `rotate` (Su et al. 2021, eq. 34).

    Channel i is paired with channel i + rotated_width / 2, the layout of Llama's and NeoX's published weights.
    """
    angles = [position * frequency for frequency in frequencies]
    return [math.cos(angle) for angle in angles], [math.sin(angle) for angle in angles]


def rotate(x: Matrix, turns: Sequence[Turn]) -> Matrix:
    """a' = a cos - b sin, b' = b cos + a sin for each pair (a, b) of channels: (length, head_width) -> the same"""
    turned: Matrix = []
    for vector, (cosines, sines) in zip(x, turns, strict=True):
        half = len(cosines)
        pairs = list(zip(vector[:half], vector[half : 2 * half], cosines, sines, strict=True))
        first = [a * cosine - b * sine for a, b, cosine, sine in pairs]
        second = [b * cosine + a * sine for a, b, cosine, sine in pairs]
        turned.append(first + second + vector[2 * half :])
    return turned


def rotate_backward(d_turned: Matrix, turns: Sequence[Turn]) -> Matrix:
    """da = da' cos + db' sin, db = db' cos - da' sin: turned back by the same angle."""
    return rotate(d_turned, [(cosines, [-sine for sine in sines]) for cosines, sines in turns])


def alibi_slopes(heads: int) -> Vector:
    """(heads,): a geometric sequence from 2^(-8/heads) (ALiBi, Press et al. 2022, §3).

    For a number of heads that is no power of two, the authors' code takes the slopes of the power below and fills up
    with every other slope of the power above.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    return slopes + [2.0 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]


def visible(spec: ModelSpec, start: int, end: int, present: Sequence[int] | None = None) -> list[list[int]]:
    """For each query at start to end, the positions of the keys that it may look at: what a mask says in one loop.

    Holds causality, the sliding window, and padding (not `present`), which nobody but itself may look at.
    """
    reach = spec.context if spec.window is None else spec.window
    seen: list[list[int]] = []
    for query in range(start, end):
        last = query if spec.causal else min(query + reach, end) - 1
        keys = range(max(0, query - reach + 1), last + 1)
        seen.append([key for key in keys if present is None or present[key] or key == query])
    return seen


class Tables:
    """The rows of one model's tables, each computed when a token first stands there."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.slopes = alibi_slopes(spec.heads) if spec.positions == "alibi" else None
        self._frequencies = rotary_frequencies(spec) if spec.positions == "rotary" else []
        self._turns: list[Turn] = []
        self._sinusoidal: Matrix = []

    def rotary(self, start: int, end: int) -> list[Turn]:
        """Cosines and sines of positions start to end."""
        new = range(len(self._turns), end)
        self._turns += [rotary_turn(position, self._frequencies) for position in new]
        return self._turns[start:end]

    def sinusoidal(self, start: int, end: int) -> Matrix:
        """(end - start, width)"""
        width = self.spec.width
        self._sinusoidal += [sinusoidal_vector(position, width) for position in range(len(self._sinusoidal), end)]
        return self._sinusoidal[start:end]
