"""From ids to the vectors that the blocks work on, and from vectors to logits."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox.engines.scalars.linear import linear
from glassbox.engines.scalars.parameters import Parameters
from glassbox.engines.scalars.positions import Tables
from glassbox.engines.scalars.value import Matrix
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Embedding:
    """Each token's row of a table, times the scale, plus its position's row (learned and sinusoidal positions)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, tokens: Matrix) -> None:
        self.scale = spec.embedding_scale
        self.kind = spec.positions
        self.tokens = tokens  # which an encoder shares with its decoder
        self.positions = parameters.get("positions")

    def forward(self, tokens: Sequence[int], start: int, tables: Tables, keep: Keep) -> Matrix:
        """xᵢ = scale · E[tokenᵢ] + P[i]: ids (length,), which stand at `start` and after -> (length, width)"""
        x: Matrix = [self.tokens[token] for token in tokens]
        if self.scale != 1:
            x = [[self.scale * value for value in vector] for vector in x]
        keep("token_vectors", x)
        if self.kind in ("learned", "sinusoidal"):
            end = start + len(tokens)
            vectors = self.positions[start:end] if self.positions is not None else tables.sinusoidal(start, end)
            keep("position_vectors", vectors)
            x = [[a + b for a, b in zip(*both, strict=True)] for both in zip(x, vectors, strict=True)]
        keep("output", x)
        return x


class Output:
    """Logits: the final vectors times a matrix of their own, or times the token embedding again (Press & Wolf 2017)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, embedding: Matrix) -> None:
        self.scale, self.softcap = spec.logit_scale, spec.logit_softcap
        self.weight = embedding if spec.tied_embeddings else parameters["weight"]
        self.bias = parameters.get("bias")

    def forward(self, x: Matrix) -> Matrix:
        """z = scale · x Wᵀ + b, softly capped to c tanh(z / c) (Gemma 2, 2024, §2).

        (length, width) -> (length, vocabulary)
        """
        if self.scale != 1:
            x = [[self.scale * value for value in vector] for vector in x]
        logits = linear(x, self.weight, self.bias)
        if self.softcap is None:
            return logits
        return [[self.softcap * (logit / self.softcap).tanh() for logit in vector] for vector in logits]
