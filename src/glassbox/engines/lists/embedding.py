"""From ids to the vectors that the blocks work on, and from vectors to logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import add
from typing import NamedTuple

from glassbox.engines.lists.linear import added, linear, linear_backward
from glassbox.engines.lists.parameters import Matrix, Parameter, Parameters
from glassbox.engines.lists.positions import Tables
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Embedding:
    """Each token's row of a table, times the scale, plus its position's row (learned and sinusoidal positions)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, tokens: Parameter) -> None:
        self.scale = spec.embedding_scale
        self.kind = spec.positions
        self.tokens = tokens  # which an encoder shares with its decoder
        self.positions = parameters.get("positions")

    def forward(self, tokens: Sequence[int], start: int, tables: Tables, keep: Keep) -> Matrix:
        """xᵢ = scale · E[tokenᵢ] + P[i]: ids (length,), which stand at `start` and after -> (length, width)"""
        x: Matrix = [self.tokens.value[token][:] for token in tokens]  # a copy: the optimiser writes into the rows
        if self.scale != 1:
            x = [[self.scale * number for number in vector] for vector in x]
        keep("token_vectors", x)
        if self.kind in ("learned", "sinusoidal"):
            end = start + len(tokens)
            table = tables.sinusoidal(start, end) if self.positions is None else self.positions.value[start:end]
            vectors = [row[:] for row in table]
            keep("position_vectors", vectors)
            x = added(x, vectors)
        keep("output", x)
        return x

    def backward(self, d_x: Matrix, tokens: Sequence[int], start: int) -> None:
        """dE[token] = scale · Σ dxᵢ over the places i where it stands, dP[i] = dxᵢ; other rows get zero"""
        d_tokens = [[self.scale * d for d in d_vector] for d_vector in d_x]
        self.tokens.add_gradient(scattered(d_tokens, tokens, rows=len(self.tokens.value)))
        if self.positions is not None:
            places = range(start, start + len(tokens))
            self.positions.add_gradient(scattered(d_x, places, rows=len(self.positions.value)))


def scattered(d_x: Matrix, places: Sequence[int], *, rows: int) -> Matrix:
    """The gradient of a table of which row places[i] was read as vector i: (length, width) -> (rows, width)"""
    gradient = [[0.0] * len(d_x[0]) for _ in range(rows)]
    for place, d_vector in zip(places, d_x, strict=True):
        gradient[place] = list(map(add, gradient[place], d_vector))
    return gradient


class Output:
    """Logits: the final vectors times a matrix of their own, or times the token embedding again (Press & Wolf 2017)."""

    class Saved(NamedTuple):
        """What backward needs of forward."""

        x: Matrix  # (length, width), scaled
        bent: Matrix  # (length, vocabulary), tanh(logits / c); empty without a soft cap

    def __init__(self, spec: ModelSpec, parameters: Parameters, embedding: Parameter) -> None:
        self.scale, self.softcap = spec.logit_scale, spec.logit_softcap
        self.weight = embedding if spec.tied_embeddings else parameters["weight"]
        self.bias = parameters.get("bias")

    def forward(self, x: Matrix) -> tuple[Matrix, Saved]:
        """z = scale · x Wᵀ + b, softly capped to c tanh(z / c) (Gemma 2, 2024, §2).

        (length, width) -> (length, vocabulary)
        """
        x = [[self.scale * number for number in vector] for vector in x]
        logits = linear(x, self.weight, self.bias)
        if self.softcap is None:
            return logits, self.Saved(x, [])
        cap = self.softcap
        bent = [[math.tanh(logit / cap) for logit in vector] for vector in logits]
        return [[cap * number for number in vector] for vector in bent], self.Saved(x, bent)

    def backward(self, d_logits: Matrix, saved: Saved) -> Matrix:
        """dz = dy (1 - tanh²(z / c)), dx = scale · dz W: (length, vocabulary) -> (length, width)"""
        if self.softcap is not None:
            d_logits = [
                [d * (1 - number * number) for d, number in zip(*vectors, strict=True)]
                for vectors in zip(d_logits, saved.bent, strict=True)
            ]
        d_x = linear_backward(d_logits, saved.x, self.weight, self.bias)
        return [[self.scale * d for d in d_vector] for d_vector in d_x]
