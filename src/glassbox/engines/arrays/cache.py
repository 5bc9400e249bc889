"""The key/value cache: what attention has computed for the tokens read so far, so that each token is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from glassbox.engines.arrays.parameters import Array
from glassbox.spec import ModelSpec

if TYPE_CHECKING:
    from glassbox.engines.arrays.source import Source


class Cache:
    """Room for `capacity` tokens of `batch` sequences; every sequence has read `length` slots of it."""

    def __init__(self, spec: ModelSpec, batch: int, capacity: int, dtype: DTypeLike = np.float32) -> None:
        shape = (spec.layers, batch, spec.key_value_heads, capacity, spec.head_width)
        self.keys: Array = np.zeros(shape, dtype)
        self.values: Array = np.zeros(shape, dtype)
        self.capacity = capacity
        self.length = 0
        self.source: Source | None = None  # of an encoder-decoder: what was read before writing began

    def extend(self, layer: int, keys: Array, values: Array) -> tuple[Array, Array]:
        """Write what new tokens add, (batch, key_value_heads, new, head_width) each; return all there is so far.

        `length` grows only when every layer has written: the model adds to it at the end of its forward pass.
        """
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
