"""From ids to the vectors that the blocks work on, and from vectors to logits."""

from __future__ import annotations

import numpy as np

from glassbox.engines.arrays.linear import linear, linear_backward
from glassbox.engines.arrays.parameters import Array, Parameters, Tokens
from glassbox.engines.arrays.positions import Tables
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Embedding:
    """Each token's row of a table, times the scale, plus its position's row (learned and sinusoidal positions)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, prefix: str = "") -> None:
        self.scale = spec.embedding_scale
        self.tokens = parameters["embedding.tokens"]  # which an encoder shares with its decoder
        self.positions = parameters.get(f"{prefix}embedding.positions")
        self.sinusoidal = spec.positions == "sinusoidal"

    def forward(self, tokens: Tokens, start: int, tables: Tables, keep: Keep) -> Array:
        """Ids (batch, length), which stand at `start` and after -> (batch * length, width).

        x[i] = scale E[token[i]] + P[position[i]]
        """
        self.ids = tokens
        end = start + tokens.shape[1]
        x = self.tokens.value.take(tokens, 0)  # (batch, length, width)
        if self.scale != 1:
            x *= self.scale
        keep("token_vectors", x)
        if self.positions is not None or self.sinusoidal:
            vectors = self.positions.value[start:end] if self.positions else tables.sinusoidal(start, end)
            keep("position_vectors", vectors)
            x += vectors
        keep("output", x)
        return x.reshape(-1, x.shape[2])

    def backward(self, d_x: Array) -> None:
        """dE[token] = scale times the sum of dx where that token stands;  dP[position] = the sum of dx over batches."""
        batch, length = self.ids.shape
        if self.positions is not None:
            self.positions.gradient[:length] += np.add.reduce(d_x.reshape(batch, length, -1), 0)
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
    """Logits: the final vectors times a matrix of their own, or times the token embedding again (Press & Wolf 2017)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.scale, self.softcap = spec.logit_scale, spec.logit_softcap
        self.weight = parameters["embedding.tokens" if spec.tied_embeddings else "output.weight"]
        self.bias = parameters.get("output.bias")

    def forward(self, x: Array) -> Array:
        """logits = scale x W^T + b, then c tanh(logits / c) with a softcap (Gemma 2, 2024, §2).

        (rows, width) -> (rows, vocabulary or classes)
        """
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
        return d_x if self.scale == 1 else d_x * self.scale
