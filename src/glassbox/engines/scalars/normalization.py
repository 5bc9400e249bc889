"""Norms: each token's vector to unit scale, alone."""

from __future__ import annotations

from operator import add, mul

from glassbox.engines.scalars.parameters import Parameters
from glassbox.engines.scalars.value import Matrix, Vector, dot, total
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Norm:
    """LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019) or GroupNorm over the width (Wu & He 2018)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.centred = spec.norm != "rms"  # RMSNorm leaves the mean where it is
        self.group_width = spec.width // spec.norm_groups
        self.epsilon = spec.norm_epsilon
        self.gain = parameters.get("gain")
        self.bias = parameters.get("bias")

    def forward(self, x: Matrix, keep: Keep = NOTHING) -> Matrix:
        """y = gain · (x - mean) / √(variance + ε) + bias: (length, width) -> the same"""
        y = [self._normalise(vector) for vector in x]
        if self.gain is not None:
            y = [list(map(mul, vector, self.gain)) for vector in y]
        if self.bias is not None:
            y = [list(map(add, vector, self.bias)) for vector in y]
        keep("output", y)
        return y

    def _normalise(self, vector: Vector) -> Vector:
        """One token, (width,): (x - mean) · s with s = 1 / √(variance + ε), for each group of channels."""
        normalised: Vector = []
        for start in range(0, len(vector), self.group_width):
            group = vector[start : start + self.group_width]
            if self.centred:
                mean = total(group) / len(group)
                group = [value - mean for value in group]
            scale = (dot(group, group) / len(group) + self.epsilon) ** -0.5
            normalised += [value * scale for value in group]
        return normalised


class Unchanged:
    """No norm: what comes in goes out."""

    def forward(self, x: Matrix, keep: Keep = NOTHING) -> Matrix:
        return x


def norm(spec: ModelSpec, parameters: Parameters) -> Norm | Unchanged:
    """The norm that the spec asks for."""
    return Unchanged() if spec.norm == "none" else Norm(spec, parameters)
