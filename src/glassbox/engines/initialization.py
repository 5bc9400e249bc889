"""How weights begin: each tensor a pure function of (seed, its name), whatever the engine and the order."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from glassbox.spec import ModelSpec, weight_shapes
from glassbox.spec.weights import Shape

RESIDUAL_OUTPUTS = ("attention.output", "feedforward.down", "feedforward.experts.down", "feedforward.shared.down")


def initial_weights(spec: ModelSpec, seed: int) -> dict[str, NDArray[np.float32]]:
    """Canonical name -> float32 array: gains one, biases zero, matrices normal with deviation `spec.initial_std`.

    The matrices that write into the residual stream are divided by the root of twice the layers, so that the
    stream's variance doesn't grow with depth (`scaled`; GPT-2, Radford et al. 2019, §2.3), or begin at zero, so that
    every block begins as the identity (`zero`).
    """
    return {name: initial_weight(spec, seed, name, shape) for name, shape in weight_shapes(spec).items()}


def initial_weight(spec: ModelSpec, seed: int, name: str, shape: Shape) -> NDArray[np.float32]:
    """One tensor of `initial_weights`."""
    if name.endswith("gain"):
        return np.ones(shape, np.float32)
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    deviation = spec.initial_std
    if name.endswith(RESIDUAL_OUTPUTS):
        if spec.initialization == "zero":
            return np.zeros(shape, np.float32)
        if spec.initialization == "scaled":
            deviation /= math.sqrt(2 * spec.layers)
    # The seed sequence mixes every byte of the name in, so that no two tensors share a stream.
    generator = np.random.default_rng([seed, *name.encode()])
    return generator.standard_normal(shape, np.float32) * np.float32(deviation)
