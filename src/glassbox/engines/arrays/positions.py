"""How a token knows where it stands: tables that depend on the spec alone, so that they are computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from glassbox.engines.arrays.parameters import Array
from glassbox.spec import ModelSpec
from glassbox.spec.rotary import rotary_frequencies


def sinusoidal_table(length: int, width: int) -> Array:
    """(length, width): sine in even channels, cosine in odd, wavelengths 2 pi to 20,000 pi (Vaswani 2017, §3.5)."""
    frequencies = 10_000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * frequencies
    return np.stack((np.sin(angles), np.cos(angles)), axis=-1).reshape(length, width)  # (length, width / 2, 2) before


def rotary_table(length: int, frequencies: Sequence[float]) -> tuple[Array, Array]:
    """Cosines and sines for `rotate`, each (length, 1, rotated_width / 2) (Su et al. 2021, eq. 34).

    Channel i is paired with channel i + rotated_width / 2, the layout of Llama's and NeoX's published weights.
    """
    angles = np.arange(length)[:, None, None] * np.array(frequencies)
    return np.cos(angles), np.sin(angles)


def rotate(x: Array, cosines: Array, sines: Array) -> Array:
    """Turn the first channels of each head by its position: (batch, length, heads, head_width) -> the same.

    For a pair (a, b): a cos - b sin, b cos + a sin.
    """
    half = cosines.shape[-1]
    a, b = x[..., :half], x[..., half : 2 * half]
    turned = x.copy()
    turned[..., :half] = a * cosines - b * sines
    turned[..., half : 2 * half] = b * cosines + a * sines
    return turned


def rotate_backward(d_turned: Array, cosines: Array, sines: Array) -> Array:
    """dx = R^T d_turned, and a rotation's transpose is the rotation back."""
    return rotate(d_turned, cosines, -sines)


def alibi_slopes(heads: int) -> Array:
    """(heads,): a geometric sequence from 2^(-8/heads) (ALiBi, Press et al. 2022, §3).

    For a number of heads that is no power of two, the authors' code takes the slopes of the power below and fills up
    with every other slope of the power above.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2.0 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return np.array(slopes)


def attention_bias(spec: ModelSpec, length: int) -> Array:
    """What is added to the scores: (heads or 1, length, length), -inf where a token must not look.

    Holds causality, the sliding window, and ALiBi's penalty by distance.
    """
    positions = np.arange(length)
    distance = positions[:, None] - positions  # (length, length): how far the key lies behind the query
    hidden = np.zeros((length, length), bool)
    if spec.causal:
        hidden |= distance < 0
    if spec.window is not None:
        hidden |= np.abs(distance) >= spec.window
    bias = np.zeros((1, length, length))
    if spec.positions == "alibi":
        bias = -alibi_slopes(spec.heads)[:, None, None] * np.abs(distance)  # (heads, length, length)
    return np.where(hidden, -np.inf, bias)


class Tables:
    """The tables of one model in its dtype, each built when first needed."""

    def __init__(self, spec: ModelSpec, dtype: DTypeLike) -> None:
        self.spec = spec
        self.dtype = dtype
        self._rotary: tuple[Array, Array] | None = None
        self._sinusoidal: Array | None = None
        self._bias: Array | None = None

    def rotary(self, start: int, end: int) -> tuple[Array, Array]:
        """Cosines and sines of positions start to end, each (end - start, 1, rotated_width / 2)."""
        if self._rotary is None or len(self._rotary[0]) < end:
            cosines, sines = rotary_table(self._room(end), rotary_frequencies(self.spec))
            self._rotary = cosines.astype(self.dtype), sines.astype(self.dtype)
        cosines, sines = self._rotary
        return cosines[start:end], sines[start:end]

    def sinusoidal(self, start: int, end: int) -> Array:
        """(end - start, width)"""
        if self._sinusoidal is None or len(self._sinusoidal) < end:
            self._sinusoidal = sinusoidal_table(self._room(end), self.spec.width).astype(self.dtype)
        return self._sinusoidal[start:end]

    def bias(self, start: int, end: int) -> Array:
        """(heads or 1, end - start, end): the bias of queries at start to end on keys at 0 to end."""
        if self._bias is None or self._bias.shape[-1] < end:
            self._bias = attention_bias(self.spec, self._room(end)).astype(self.dtype)
        return self._bias[:, start:end, :end]

    def _room(self, end: int) -> int:
        """Enough for the usual model at once; a very long context only as far as it is used."""
        return min(self.spec.context, max(2 * end, 256))
