"""The key/value cache: what attention has computed for the tokens read so far, so that each token is read once."""

from __future__ import annotations

import torch
from torch import Tensor

from glassbox.spec import ModelSpec


class Cache:
    """Room for `capacity` tokens of `batch` sequences; every sequence has read `length` slots of it.

    Sequences of different lengths are padded on the left, so that all of them write the same slot next: sequence i
    begins at slot `padding[i]`, and its token in slot s stands at position s - padding[i].
    """

    def __init__(
        self,
        spec: ModelSpec,
        batch: int,
        capacity: int,
        *,
        padding: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (spec.layers, batch, spec.key_value_heads, capacity, spec.head_width)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.capacity = capacity
        self.length = 0
        self.padding = padding  # (batch,), None where all begin at slot 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write what new tokens add, (batch, key_value_heads, new, head_width) each; return all there is so far.

        `length` grows only when every layer has written: the model adds to it at the end of its forward pass.
        """
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
