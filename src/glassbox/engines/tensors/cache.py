"""The key/value cache: what attention has computed for the tokens read so far, so that each token is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from glassbox.spec import ModelSpec

if TYPE_CHECKING:
    from glassbox.engines.tensors.source import Source


class Cache:
    """Room for `capacity` tokens of `batch` sequences; every sequence has filled `length` slots of it.

    Sequences of different lengths are padded on the left, so that all of them write the same slot next: sequence i
    begins at slot `padding[i]`, and its token in slot s stands at position s - padding[i].
    """

    def __init__(
        self, spec: ModelSpec, batch: int, capacity: int, *, like: Tensor, padding: Tensor | None = None
    ) -> None:
        """Of the dtype and on the device of the tensor `like`."""
        # Keys and values of all layers lie together, so that one step needs one view of them, not one a layer.
        shape = (spec.layers, 2, batch, spec.key_value_heads, capacity, spec.head_width)
        self.store = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.batch = batch
        self.capacity = capacity
        self.length = 0
        self.padding = padding  # (batch,), None where every sequence begins at slot 0
        self.source: Source | None = None  # of an encoder-decoder: what was read before writing began

    @classmethod
    def over(cls, store: Tensor, length: int, padding: Tensor | None) -> Cache:
        """A cache in a store that somebody else keeps, (layers, 2, batch, key_value_heads, capacity, head_width)."""
        cache = cls.__new__(cls)
        cache.store = store
        cache.batch, cache.capacity = store.shape[2], store.shape[4]
        cache.length = length
        cache.padding = padding
        cache.source = None
        return cache

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write what new tokens add, (batch, key_value_heads, new, head_width) each; return all there is so far.

        `length` grows only when every layer has written: the model adds to it at the end of its forward pass.
        """
        end = self.length + keys.shape[2]
        store = self.store[layer]
        store[0, :, :, self.length : end] = keys
        store[1, :, :, self.length : end] = values
        return store[0, :, :, :end], store[1, :, :, :end]

    def choose(self, rows: Tensor) -> None:
        """Go on with these sequences (indices; one may be chosen several times) in the place of the present ones."""
        self.store[:, :, :, :, : self.length] = self.store[:, :, rows, :, : self.length]
        if self.padding is not None:
            self.padding = self.padding[rows]
        if self.source is not None:
            self.source.choose(rows)
