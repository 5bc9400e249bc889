"""A stack of blocks with what stands before and after them: a whole encoder, or a decoder up to its output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.arrays.attention import Surroundings
from glassbox.engines.arrays.block import Block
from glassbox.engines.arrays.cache import Cache
from glassbox.engines.arrays.embedding import Embedding
from glassbox.engines.arrays.experts import MixtureOfExperts
from glassbox.engines.arrays.normalization import Unchanged, norm
from glassbox.engines.arrays.parameters import Array, Parameters, Tokens
from glassbox.engines.arrays.positions import Tables
from glassbox.engines.arrays.relative_positions import RelativePositions
from glassbox.engines.arrays.source import Source
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Stack:
    """Embedding, blocks, final norm, over the parameters whose names begin with `prefix`."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, prefix: str = "") -> None:
        self.spec = spec
        self.tables = Tables(spec, parameters.values.dtype)
        self.embedding = Embedding(spec, parameters, prefix)
        has_norm, has_table = spec.embedding_norm, spec.positions == "relative"
        self.embedding_norm = norm(spec, parameters.under(f"{prefix}embedding_norm")) if has_norm else Unchanged()
        table = parameters.under(f"{prefix}relative_positions")
        self.relative = RelativePositions(spec, table) if has_table else None
        self.blocks = [Block(spec, layer, parameters.under(f"{prefix}blocks.{layer}")) for layer in range(spec.layers)]
        self.final_norm = norm(spec, parameters.under(f"{prefix}final_norm")) if spec.final_norm else Unchanged()
        feedforwards = [block.feedforward for block in self.blocks]
        self.mixtures = [part for part in feedforwards if isinstance(part, MixtureOfExperts)]

    def forward(
        self,
        tokens: Tokens,
        *,
        types: Tokens | None = None,
        present: NDArray[np.bool_] | None = None,
        source: Source | None = None,
        cache: Cache | None = None,
        keep: Keep = NOTHING,
    ) -> Array:
        """Ids (batch, length) -> what the final norm gives, (batch * length, width)."""
        start = 0 if cache is None else cache.length
        length = tokens.shape[1]
        end = start + length
        # (batch * length, width), as everything until the end
        x = self.embedding.forward(tokens, start, self.tables, keep.under("embedding"), types=types)
        x = self.embedding_norm.forward(x, keep.under("embedding_norm"))
        self.around = Surroundings(
            tokens,
            self.tables.rotary(start, end) if self.spec.positions == "rotary" else None,
            bias=self._bias(start, end, present),
            cache=cache,
            present=None if present is None else present[:, start:].reshape(-1),
            d_relative=np.zeros((self.spec.heads, length, end), x.dtype) if self.relative else None,
            source=source,
        )
        for layer, block in enumerate(self.blocks):
            x = block.forward(x, self.around, keep.under(f"blocks.{layer}"))
        if cache is not None:
            cache.length = end
        return self.final_norm.forward(x, keep.under("final_norm"))

    def backward(self, d_x: Array) -> None:
        """The forward pass's lines in reverse, from the gradient of what it returned."""
        d_x = self.final_norm.backward(d_x)
        for block in reversed(self.blocks):
            d_x = block.backward(d_x)
        if self.relative is not None and self.around.d_relative is not None:
            self.relative.backward(self.around.d_relative)
        self.embedding.backward(self.embedding_norm.backward(d_x))

    def _bias(self, start: int, end: int, present: NDArray[np.bool_] | None) -> Array | None:
        """What is added to the scores, or None where every token may look at all."""
        spec = self.spec
        ahead = spec.causal and end > start + 1
        windowed = spec.window is not None and spec.window < end
        if not (ahead or windowed or spec.positions in ("alibi", "relative") or present is not None):
            return None
        bias = self.tables.bias(start, end)  # (heads or 1, length, keys)
        if self.relative is not None:
            bias = bias + self.relative.forward(start, end)  # (heads, length, keys)
        if present is None:
            return bias
        # A token always sees itself, so that a row of padding has something to average and yields no NaN.
        itself = np.arange(start, end)[:, None] == np.arange(end)
        seen = present[:, None, None, :] | itself  # (batch, 1, length, keys)
        return np.where(seen, bias, -np.inf).astype(bias.dtype)  # (batch, heads or 1, length, keys)
