"""The arithmetic of a model, forwards and backwards, without its face: what each thread has one of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.arrays.attention import Surroundings
from glassbox.engines.arrays.block import Block
from glassbox.engines.arrays.cache import Cache
from glassbox.engines.arrays.embedding import Embedding, Output
from glassbox.engines.arrays.experts import MixtureOfExperts
from glassbox.engines.arrays.loss import cross_entropy, cross_entropy_backward
from glassbox.engines.arrays.normalization import Unchanged, norm
from glassbox.engines.arrays.parameters import Array, Parameters, Tokens
from glassbox.engines.arrays.positions import Tables
from glassbox.engines.arrays.relative_positions import RelativePositions
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Network:
    """Embedding, blocks and output over the given parameters. Each part holds what its backward pass needs."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.spec = spec
        self.parameters = parameters
        self.tables = Tables(spec, parameters.values.dtype)
        self.embedding = Embedding(spec, parameters)
        self.embedding_norm = norm(spec, parameters.under("embedding_norm")) if spec.embedding_norm else Unchanged()
        relative = spec.positions == "relative"
        self.relative = RelativePositions(spec, parameters.under("relative_positions")) if relative else None
        self.blocks = [Block(spec, layer, parameters.under(f"blocks.{layer}")) for layer in range(spec.layers)]
        self.final_norm = norm(spec, parameters.under("final_norm")) if spec.final_norm else Unchanged()
        self.output = Output(spec, parameters)
        feedforwards = [block.feedforward for block in self.blocks]
        self.mixtures = [part for part in feedforwards if isinstance(part, MixtureOfExperts)]

    def forward(
        self,
        tokens: Tokens,
        *,
        present: NDArray[np.bool_] | None = None,
        cache: Cache | None = None,
        keep: Keep = NOTHING,
    ) -> Array:
        """Ids (batch, length) -> logits (batch * length, vocabulary), or (batch, classes) of a classifier."""
        batch, length = tokens.shape
        start = 0 if cache is None else cache.length
        end = start + length
        x = self.embedding.forward(tokens, start, self.tables, keep.under("embedding"))  # (batch * length, width)
        x = self.embedding_norm.forward(x, keep.under("embedding_norm"))
        rotary = self.tables.rotary(start, end) if self.spec.positions == "rotary" else None
        self.around = around = Surroundings(
            tokens,
            rotary,
            bias=self._bias(start, end, present),
            cache=cache,
            present=None if present is None else present[:, start:].reshape(-1),
            d_relative=np.zeros((self.spec.heads, length, end), x.dtype) if self.relative else None,
        )
        for layer, block in enumerate(self.blocks):
            x = block.forward(x, around, keep.under(f"blocks.{layer}"))
        if cache is not None:
            cache.length = end
        x = self.final_norm.forward(x, keep.under("final_norm"))
        if self.spec.head == "classes":
            x = x.reshape(batch, length, -1)[:, 0]  # a classifier reads its first token
        logits = self.output.forward(x)
        keep("logits", logits)
        return logits

    def loss(self, logits: Array, targets: Tokens, counted: int) -> np.floating:
        """See `cross_entropy`."""
        self.targets, self.counted = targets, counted
        loss, self.probabilities = cross_entropy(logits, targets, counted)
        return loss

    def backward(self) -> None:
        """Add the gradients of the last loss to those held: the forward pass's lines in reverse."""
        d_logits = cross_entropy_backward(self.probabilities, self.targets, self.counted)
        d_x = self.output.backward(d_logits)
        if self.spec.head == "classes":
            batch, length = self.embedding.ids.shape
            d_first, d_x = d_x, np.zeros((batch, length, self.spec.width), d_x.dtype)
            d_x[:, 0] = d_first
            d_x = d_x.reshape(batch * length, -1)
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
