"""From ids to the vectors that the blocks work on, and from vectors to logits."""

from __future__ import annotations

import numpy as np

from glassbox.engines.arrays.feedforward import ACTIVATIONS, bend
from glassbox.engines.arrays.linear import linear, linear_backward
from glassbox.engines.arrays.normalization import Unchanged, norm
from glassbox.engines.arrays.parameters import Array, Parameters, Scope, Tokens
from glassbox.engines.arrays.positions import Tables
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Embedding:
    """Each token's row of a table, times the scale, plus its position's row (learned and sinusoidal positions)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, prefix: str = "") -> None:
        self.scale = spec.embedding_scale
        self.tokens = parameters["embedding.tokens"]  # which an encoder shares with its decoder
        self.positions = parameters.get(f"{prefix}embedding.positions")
        self.token_types = parameters.get(f"{prefix}embedding.token_types")
        self.sinusoidal = spec.positions == "sinusoidal"

    def forward(self, tokens: Tokens, start: int, tables: Tables, keep: Keep, *, types: Tokens | None = None) -> Array:
        """Ids (batch, length), which stand at `start` and after -> (batch * length, width).

        x[i] = scale E[token[i]] + P[position[i]] + T[type[i]], all of type 0 unless types, (batch, length), are given
        """
        self.ids, self.types = tokens, types
        end = start + tokens.shape[1]
        x = self.tokens.value.take(tokens, 0)  # (batch, length, width)
        if self.scale != 1:
            x *= self.scale
        keep("token_vectors", x)
        if self.positions is not None or self.sinusoidal:
            vectors = self.positions.value[start:end] if self.positions else tables.sinusoidal(start, end)
            keep("position_vectors", vectors)
            x += vectors
        if self.token_types is not None:
            if self.types is None:
                self.types = np.zeros_like(tokens)
            vectors = self.token_types.value.take(self.types, 0)
            keep("type_vectors", vectors)
            x += vectors
        keep("output", x)
        return x.reshape(-1, x.shape[2])

    def backward(self, d_x: Array) -> None:
        """dE[token] = scale times the sum of dx where that token stands;  dP[position] = the sum of dx over batches.

        dT[type] as dE, without the scale.
        """
        batch, length = self.ids.shape
        if self.positions is not None:
            self.positions.gradient[:length] += np.add.reduce(d_x.reshape(batch, length, -1), 0)
        if self.token_types is not None and self.types is not None:
            add_rows(self.token_types.gradient, self.types.reshape(-1), d_x)
        if self.scale != 1:
            d_x = d_x * self.scale
        add_rows(self.tokens.gradient, self.ids.reshape(-1), d_x)


def add_rows(table: Array, rows: Tokens, vectors: Array) -> None:
    """table[rows[i]] += vectors[i] for every i, where rows may repeat."""
    if vectors.size < 2048:
        np.add.at(table, rows, vectors)
        return
    # `add.at` goes number by number. Sorted by row, each row's vectors are one stretch to sum.
    order = rows.argsort(kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    table[rows[starts]] += np.add.reduceat(vectors[order], starts)


class Output:
    """Logits: the final vectors times a matrix of their own, or times the token embedding again (Press & Wolf 2017).

    Before it, if asked, one more layer: BERT's for words (Devlin et al. 2019), or its pooler for classes.
    """

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.gives_vectors = spec.head == "vectors"
        self.scale, self.softcap = spec.logit_scale, spec.logit_softcap
        self.transform = Transform(spec, parameters.under("output")) if spec.output_transform else None
        self.weight = parameters["embedding.tokens" if spec.tied_embeddings or self.gives_vectors else "output.weight"]
        self.bias = parameters.get("output.bias")

    def forward(self, x: Array, keep: Keep = NOTHING) -> Array:
        """logits = scale x W^T + b, then c tanh(logits / c) with a softcap (Gemma 2, 2024, §2).

        (rows, width) -> (rows, vocabulary or classes), or as it is where vectors are what is wanted
        """
        if self.gives_vectors:
            return x
        if self.transform is not None:
            x = self.transform.forward(x)
            keep("transformed", x)
        self.x = x if self.scale == 1 else x * self.scale
        logits = linear(self.x, self.weight, self.bias)
        if self.softcap is not None:
            logits /= self.softcap
            np.tanh(logits, out=logits)
            self.bent = logits
            logits = logits * self.softcap
        return logits

    def backward(self, d_logits: Array) -> Array:
        """Through the softcap, d (1 - tanh^2), then through the product: (rows, vocabulary) -> (rows, width)."""
        if self.softcap is not None:
            d_logits = d_logits * (1 - self.bent * self.bent)
        d_x = linear_backward(d_logits, self.x, self.weight, self.bias)
        if self.scale != 1:
            d_x *= self.scale
        return d_x if self.transform is None else self.transform.backward(d_x)


class Transform:
    """The layer before the output matrix: norm(activation(x W^T + b)) for words, tanh(x W^T + b) for classes."""

    def __init__(self, spec: ModelSpec, parameters: Scope) -> None:
        self.activation = tanh if spec.head == "classes" else ACTIVATIONS[spec.activation]
        self.weight, self.bias = parameters["transform"], parameters["transform_bias"]
        self.norm = norm(spec, parameters.under("transform_norm")) if spec.head == "language" else Unchanged()

    def forward(self, x: Array) -> Array:
        """(rows, width) -> the same."""
        self.x = x
        bent, self.slope = bend(self.activation, linear(x, self.weight, self.bias))
        return self.norm.forward(bent)

    def backward(self, d_y: Array) -> Array:
        """(rows, width) -> the same."""
        return linear_backward(self.norm.backward(d_y) * self.slope, self.x, self.weight, self.bias)


def tanh(x: Array) -> tuple[Array, Array]:
    """tanh x, and its slope 1 - tanh^2 x."""
    bent = np.tanh(x)
    return bent, 1 - bent * bent
