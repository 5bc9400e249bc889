"""How a token knows where it stands. The tables are plain numbers that nobody learns: they are the lists engine's."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox.engines.lists.positions import Tables, Turn, visible
from glassbox.engines.scalars.value import Matrix

__all__ = ["Tables", "Turn", "rotate", "visible"]


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
