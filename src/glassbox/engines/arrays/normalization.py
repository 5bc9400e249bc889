"""Norms: each token's vector to unit scale, alone."""

from __future__ import annotations

import numpy as np

from glassbox.engines.arrays.parameters import Array, Scope
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


def normalize(x: Array, epsilon: float, *, centered: bool) -> tuple[Array, Array]:
    """n = x / sqrt(mean(x^2) + epsilon) over the last axis, the mean taken off before if `centered`.

    (..., channels) -> n, of the same shape, and the factor 1 / sqrt(...), (..., 1), which the backward pass needs.
    """
    channels = x.shape[-1]
    if centered:
        x = x - np.add.reduce(x, -1, keepdims=True) / channels
    mean_square = np.vecdot(x, x)[..., None]  # (..., 1)
    mean_square /= channels
    mean_square += epsilon
    factor = 1.0 / np.sqrt(mean_square)
    return x * factor, factor


def normalize_backward(d_n: Array, n: Array, factor: Array, *, centered: bool) -> Array:
    """dx = factor (dn - n mean(dn n)), less the mean of dn inside the brackets if `centered`.

    Scaling x leaves n as it is, so nothing may flow along n; shifting x does too if its mean is taken off.
    """
    channels = n.shape[-1]
    along = np.vecdot(d_n, n)[..., None]  # (..., 1)
    along /= -channels
    d_x = n * along
    d_x += d_n
    if centered:
        d_x -= np.add.reduce(d_n, -1, keepdims=True) / channels
    d_x *= factor
    return d_x


class Norm:
    """LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019) or GroupNorm over the width (Wu & He 2018).

    A LayerNorm is a GroupNorm of one group, an RMSNorm one that leaves the mean alone.
    """

    def __init__(self, spec: ModelSpec, parameters: Scope) -> None:
        self.epsilon = spec.norm_epsilon
        self.centered = spec.norm != "rms"
        self.groups = spec.norm_groups
        self.gain = parameters.get("gain")
        self.bias = parameters.get("bias")

    def forward(self, x: Array, keep: Keep = NOTHING) -> Array:
        """y = gain n + bias: (tokens, width) -> the same."""
        grouped = x if self.groups == 1 else x.reshape(len(x), self.groups, -1)
        self.normalized, self.factor = normalize(grouped, self.epsilon, centered=self.centered)
        y = self.normalized.reshape(x.shape)
        if self.gain is not None:
            y = y * self.gain.value
        if self.bias is not None:
            y += self.bias.value
        keep("output", y)
        return y

    def backward(self, d_y: Array) -> Array:
        """d_gain = sum over tokens of dy n;  d_bias = sum over tokens of dy;  dn = dy gain."""
        if self.bias is not None:
            self.bias.gradient += d_y.sum(0)
        if self.gain is not None:
            self.gain.gradient += np.einsum("ij,ij->j", d_y, self.normalized.reshape(d_y.shape))
            d_y = d_y * self.gain.value
        d_n = d_y.reshape(self.normalized.shape)
        return normalize_backward(d_n, self.normalized, self.factor, centered=self.centered).reshape(d_y.shape)


class HeadNorm:
    """RMSNorm of one head's queries or keys (Henry et al. 2020; gain as in Qwen 3)."""

    def __init__(self, spec: ModelSpec, parameters: Scope) -> None:
        self.epsilon = spec.norm_epsilon
        self.gain = parameters.get("gain")

    def forward(self, x: Array) -> Array:
        """(batch, length, heads, head_width) -> the same."""
        self.normalized, self.factor = normalize(x, self.epsilon, centered=False)
        return self.normalized.copy() if self.gain is None else self.normalized * self.gain.value

    def backward(self, d_y: Array) -> Array:
        """As `Norm.backward`, summed over heads too."""
        if self.gain is not None:
            self.gain.gradient += np.einsum("blhd,blhd->d", d_y, self.normalized)
            d_y = d_y * self.gain.value
        return normalize_backward(d_y, self.normalized, self.factor, centered=False)


class Unchanged:
    """No norm: what comes in goes out."""

    def forward(self, x: Array, keep: Keep = NOTHING) -> Array:
        return x

    def backward(self, d_y: Array) -> Array:
        return d_y


def norm(spec: ModelSpec, parameters: Scope) -> Norm | Unchanged:
    """The norm that the spec asks for."""
    return Unchanged() if spec.norm == "none" else Norm(spec, parameters)
