"""The arithmetic of a model, forwards and backwards, without its face: what each thread has one of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.arrays.cache import Cache
from glassbox.engines.arrays.embedding import Output
from glassbox.engines.arrays.loss import cross_entropy, cross_entropy_backward
from glassbox.engines.arrays.parameters import Array, Parameters, Tokens
from glassbox.engines.arrays.source import Source
from glassbox.engines.arrays.stack import Stack
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Network:
    """A stack and an output over the given parameters, and in an encoder-decoder a second stack beside the first.

    Each part holds what its backward pass needs.
    """

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.spec = spec
        self.parameters = parameters
        self.stack = Stack(spec, parameters)
        self.encoder = Stack(spec.encoder, parameters, "encoder.") if spec.kind == "encoder-decoder" else None
        self.output = Output(spec, parameters)
        self.mixtures = self.stack.mixtures + (self.encoder.mixtures if self.encoder else [])

    def forward(
        self,
        tokens: Tokens,
        *,
        types: Tokens | None = None,
        present: NDArray[np.bool_] | None = None,
        source: Tokens | None = None,
        source_present: NDArray[np.bool_] | None = None,
        cache: Cache | None = None,
        keep: Keep = NOTHING,
    ) -> Array:
        """Ids (batch, length) -> logits (batch * length, vocabulary), or (batch, classes) of a classifier."""
        self.shape = tokens.shape
        self.heard = self._hear(source, source_present, cache, keep)
        x = self.stack.forward(tokens, types=types, present=present, source=self.heard, cache=cache, keep=keep)
        if self.spec.head == "classes":
            x = x.reshape(*self.shape, -1)[:, 0]  # a classifier reads its first token
        logits = self.output.forward(x, keep.under("output"))
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
            batch, length = self.shape
            d_first, d_x = d_x, np.zeros((batch, length, self.spec.width), d_x.dtype)
            d_x[:, 0] = d_first
            d_x = d_x.reshape(batch * length, -1)
        self.stack.backward(d_x)
        if self.encoder is not None and self.heard is not None:
            self.encoder.backward(self.heard.d_encoded)

    def _hear(
        self, source: Tokens | None, present: NDArray[np.bool_] | None, cache: Cache | None, keep: Keep
    ) -> Source | None:
        """What the encoder has read, from the cache if it is there; None in other kinds of models."""
        if self.encoder is None or source is None:
            return None if cache is None else cache.source
        encoded = self.encoder.forward(source, present=present, keep=keep.under("encoder"))
        bias = None
        if present is not None:
            bias = np.where(present, 0, -np.inf).astype(encoded.dtype)[:, None, None]  # (batch, 1, 1, source_length)
        heard = Source(encoded, len(source), bias, np.zeros_like(encoded), held=None if cache is None else {})
        if cache is not None:
            cache.source = heard
        return heard
