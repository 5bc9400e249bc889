"""From ids to the vectors that the blocks work on, and from vectors to logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import add, mul
from typing import Any, NamedTuple

from glassbox.engines.lists.feedforward import ACTIVATIONS
from glassbox.engines.lists.linear import added, linear, linear_backward
from glassbox.engines.lists.normalization import NormSaved, Unchanged, norm
from glassbox.engines.lists.parameters import Matrix, Parameter, Parameters
from glassbox.engines.lists.positions import Tables
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Embedding:
    """Each token's row of a table, times the scale, plus its position's row (learned and sinusoidal positions)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, tokens: Parameter) -> None:
        self.scale = spec.embedding_scale
        self.kind = spec.positions
        self.tokens = tokens  # which an encoder shares with its decoder
        self.positions = parameters.get("positions")
        self.token_types = parameters.get("token_types")

    def forward(self, tokens: Sequence[int], types: Sequence[int], start: int, tables: Tables, keep: Keep) -> Matrix:
        """xᵢ = scale · E[tokenᵢ] + P[i] + T[typeᵢ]: ids (length,), standing at `start` and after -> (length, width)"""
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
        if self.token_types is not None:
            vectors = [self.token_types.value[kind][:] for kind in types]
            keep("type_vectors", vectors)
            x = added(x, vectors)
        keep("output", x)
        return x

    def backward(self, d_x: Matrix, tokens: Sequence[int], types: Sequence[int], start: int) -> None:
        """dE[token] = scale · Σ dxᵢ over the places i where it stands, dP[i] = dxᵢ, dT as dE; other rows get zero"""
        d_tokens = [[self.scale * d for d in d_vector] for d_vector in d_x]
        self.tokens.add_gradient(scattered(d_tokens, tokens, rows=len(self.tokens.value)))
        if self.positions is not None:
            places = range(start, start + len(tokens))
            self.positions.add_gradient(scattered(d_x, places, rows=len(self.positions.value)))
        if self.token_types is not None:
            self.token_types.add_gradient(scattered(d_x, types, rows=len(self.token_types.value)))


def scattered(d_x: Matrix, places: Sequence[int], *, rows: int) -> Matrix:
    """The gradient of a table of which row places[i] was read as vector i: (length, width) -> (rows, width)"""
    gradient = [[0.0] * len(d_x[0]) for _ in range(rows)]
    for place, d_vector in zip(places, d_x, strict=True):
        gradient[place] = list(map(add, gradient[place], d_vector))
    return gradient


class Output:
    """Logits: the final vectors times a matrix of their own, or times the token embedding again (Press & Wolf 2017).

    Before it, if asked, one more layer: BERT's for words (Devlin et al. 2019), or its pooler for classes.
    """

    class Saved(NamedTuple):
        """What backward needs of forward."""

        x: Matrix  # (length, width), scaled
        bent: Matrix  # (length, vocabulary), tanh(logits / c); empty without a soft cap
        transform: Any

    def __init__(self, spec: ModelSpec, parameters: Parameters, embedding: Parameter) -> None:
        self.gives_vectors, self.for_classes = spec.head == "vectors", spec.head == "classes"
        self.scale, self.softcap = spec.logit_scale, spec.logit_softcap
        self.transform = Transform(spec, parameters) if spec.output_transform else None
        self.weight = embedding if spec.tied_embeddings or self.gives_vectors else parameters["weight"]
        self.bias = parameters.get("bias")

    def forward(self, x: Matrix, keep: Keep = NOTHING) -> tuple[Matrix, Saved]:
        """z = scale · x Wᵀ + b, softly capped to c tanh(z / c) (Gemma 2, 2024, §2).

        (length, width) -> (length, vocabulary), or as it is where vectors are what is wanted
        """
        transform = None
        if self.gives_vectors:
            return x, self.Saved(x, [], transform)
        if self.transform is not None:
            x, transform = self.transform.forward(x)
            keep("transformed", x[0] if self.for_classes else x)
        x = [[self.scale * number for number in vector] for vector in x]
        logits = linear(x, self.weight, self.bias)
        if self.softcap is None:
            return logits, self.Saved(x, [], transform)
        cap = self.softcap
        bent = [[math.tanh(logit / cap) for logit in vector] for vector in logits]
        return [[cap * number for number in vector] for vector in bent], self.Saved(x, bent, transform)

    def backward(self, d_logits: Matrix, saved: Saved) -> Matrix:
        """dz = dy (1 - tanh²(z / c)), dx = scale · dz W: (length, vocabulary) -> (length, width)"""
        if self.softcap is not None:
            d_logits = [
                [d * (1 - number * number) for d, number in zip(*vectors, strict=True)]
                for vectors in zip(d_logits, saved.bent, strict=True)
            ]
        d_x = linear_backward(d_logits, saved.x, self.weight, self.bias)
        d_x = [[self.scale * d for d in d_vector] for d_vector in d_x]
        return d_x if self.transform is None else self.transform.backward(d_x, saved.transform)


class Transform:
    """The layer before the output matrix: norm(f(x Wᵀ + b)), with f the activation for words; tanh without a norm for
    classes."""

    class Saved(NamedTuple):
        """What backward needs of forward."""

        x: Matrix  # (length, width)
        up: Matrix  # (length, width), before the activation
        norm: NormSaved

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        words = spec.head == "language"
        self.activation, self.slope = ACTIVATIONS[spec.activation] if words else (math.tanh, tanh_slope)
        self.weight, self.bias = parameters["transform"], parameters["transform_bias"]
        self.norm = norm(spec, parameters.under("transform_norm")) if words else Unchanged()

    def forward(self, x: Matrix) -> tuple[Matrix, Saved]:
        """(length, width) -> the same"""
        up = linear(x, self.weight, self.bias)
        y, saved = self.norm.forward([list(map(self.activation, vector)) for vector in up])
        return y, self.Saved(x, up, saved)

    def backward(self, d_y: Matrix, saved: Saved) -> Matrix:
        """(length, width) -> the same"""
        d_bent = self.norm.backward(d_y, saved.norm)
        d_up = [list(map(mul, d, map(self.slope, vector))) for d, vector in zip(d_bent, saved.up, strict=True)]
        return linear_backward(d_up, saved.x, self.weight, self.bias)


def tanh_slope(x: float) -> float:
    """1 - tanh² x"""
    return 1 - math.tanh(x) ** 2
