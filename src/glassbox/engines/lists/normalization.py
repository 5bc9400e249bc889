"""Norms: each token's vector to unit scale, alone."""

from __future__ import annotations

import math
from operator import add, mul

from glassbox.engines.lists.linear import dot
from glassbox.engines.lists.parameters import Matrix, Parameters, Vector
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec

# What a norm's backward needs of its forward: each token's channels before gain and bias, and its groups' scales.
NormSaved = list[tuple[Vector, Vector]]


class Norm:
    """LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019) or GroupNorm over the width (Wu & He 2018)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.centred = spec.norm != "rms"  # RMSNorm leaves the mean where it is
        self.group_width = spec.width // spec.norm_groups
        self.epsilon = spec.norm_epsilon
        self.gain = parameters.get("gain")
        self.bias = parameters.get("bias")

    def forward(self, x: Matrix, keep: Keep = NOTHING) -> tuple[Matrix, NormSaved]:
        """y = gain · (x - mean) / √(variance + ε) + bias: (length, width) -> the same"""
        saved = [self._normalise(vector) for vector in x]
        y = [normalised for normalised, _ in saved]
        if self.gain is not None:
            y = [list(map(mul, vector, self.gain.value)) for vector in y]
        if self.bias is not None:
            y = [list(map(add, vector, self.bias.value)) for vector in y]
        keep("output", y)
        return y, saved

    def backward(self, d_y: Matrix, saved: NormSaved) -> Matrix:
        """dgain = Σ dy · n, dbias = Σ dy, dn = dy · gain, with n the normalised vector: (length, width) -> the same"""
        if self.bias is not None:
            self.bias.add_gradient(list(map(sum, zip(*d_y, strict=True))))
        if self.gain is not None:
            products = [
                list(map(mul, d_vector, normalised)) for d_vector, (normalised, _) in zip(d_y, saved, strict=True)
            ]
            self.gain.add_gradient(list(map(sum, zip(*products, strict=True))))
            d_y = [list(map(mul, d_vector, self.gain.value)) for d_vector in d_y]
        return [self._normalise_backward(d_vector, *kept) for d_vector, kept in zip(d_y, saved, strict=True)]

    def _normalise(self, vector: Vector) -> tuple[Vector, Vector]:
        """One token, (width,): n = (x - mean) · s with s = 1 / √(variance + ε), for each group of channels."""
        normalised: Vector = []
        scales: Vector = []
        for start in range(0, len(vector), self.group_width):
            group = vector[start : start + self.group_width]
            if self.centred:
                mean = sum(group) / len(group)
                group = [number - mean for number in group]
            scale = 1 / math.sqrt(dot(group, group) / len(group) + self.epsilon)
            normalised += [number * scale for number in group]
            scales.append(scale)
        return normalised, scales

    def _normalise_backward(self, d_normalised: Vector, normalised: Vector, scales: Vector) -> Vector:
        """dx = s · (dn - mean(dn) - n · mean(dn · n)); without mean(dn) where the mean wasn't taken away"""
        d_vector: Vector = []
        for index, scale in enumerate(scales):
            part = slice(index * self.group_width, (index + 1) * self.group_width)
            d_group, group = d_normalised[part], normalised[part]
            mean = sum(d_group) / len(group) if self.centred else 0.0
            along = dot(d_group, group) / len(group)
            d_vector += [scale * (d - mean - number * along) for d, number in zip(d_group, group, strict=True)]
        return d_vector


class Unchanged:
    """No norm: what comes in goes out."""

    def forward(self, x: Matrix, keep: Keep = NOTHING) -> tuple[Matrix, NormSaved]:
        return x, []

    def backward(self, d_y: Matrix, saved: NormSaved) -> Matrix:
        return d_y


def norm(spec: ModelSpec, parameters: Parameters) -> Norm | Unchanged:
    """The norm that the spec asks for."""
    return Unchanged() if spec.norm == "none" else Norm(spec, parameters)
