"""From ids to the vectors that the blocks work on, and from vectors to logits."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox.engines.scalars.feedforward import ACTIVATIONS
from glassbox.engines.scalars.linear import added, linear
from glassbox.engines.scalars.normalization import Unchanged, norm
from glassbox.engines.scalars.parameters import Parameters
from glassbox.engines.scalars.positions import Tables
from glassbox.engines.scalars.value import Matrix, Value
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Embedding:
    """Each token's row of a table, times the scale, plus its position's row (learned and sinusoidal positions)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, tokens: Matrix) -> None:
        self.scale = spec.embedding_scale
        self.kind = spec.positions
        self.tokens = tokens  # which an encoder shares with its decoder
        self.positions = parameters.get("positions")
        self.token_types = parameters.get("token_types")

    def forward(self, tokens: Sequence[int], types: Sequence[int], start: int, tables: Tables, keep: Keep) -> Matrix:
        """xᵢ = scale · E[tokenᵢ] + P[i] + T[typeᵢ]: ids (length,), standing at `start` and after -> (length, width)"""
        x: Matrix = [self.tokens[token] for token in tokens]
        if self.scale != 1:
            x = [[self.scale * value for value in vector] for vector in x]
        keep("token_vectors", x)
        if self.kind in ("learned", "sinusoidal"):
            end = start + len(tokens)
            vectors = self.positions[start:end] if self.positions is not None else tables.sinusoidal(start, end)
            keep("position_vectors", vectors)
            x = [[a + b for a, b in zip(*both, strict=True)] for both in zip(x, vectors, strict=True)]
        if self.token_types is not None:
            vectors = [self.token_types[kind] for kind in types]
            keep("type_vectors", vectors)
            x = added(x, vectors)
        keep("output", x)
        return x


class Output:
    """Logits: the final vectors times a matrix of their own, or times the token embedding again (Press & Wolf 2017).

    Before it, if asked, one more layer: BERT's for words (Devlin et al. 2019), or its pooler for classes.
    """

    def __init__(self, spec: ModelSpec, parameters: Parameters, embedding: Matrix) -> None:
        self.gives_vectors, self.for_classes = spec.head == "vectors", spec.head == "classes"
        self.transform = Transform(spec, parameters) if spec.output_transform else None
        self.scale, self.softcap = spec.logit_scale, spec.logit_softcap
        self.weight = embedding if spec.tied_embeddings or self.gives_vectors else parameters["weight"]
        self.bias = parameters.get("bias")

    def forward(self, x: Matrix, keep: Keep = NOTHING) -> Matrix:
        """z = scale · x Wᵀ + b, softly capped to c tanh(z / c) (Gemma 2, 2024, §2).

        (length, width) -> (length, vocabulary), or as it is where vectors are what is wanted
        """
        if self.gives_vectors:
            return x
        if self.transform is not None:
            x = self.transform.forward(x)
            keep("transformed", x[0] if self.for_classes else x)
        if self.scale != 1:
            x = [[self.scale * value for value in vector] for vector in x]
        logits = linear(x, self.weight, self.bias)
        if self.softcap is None:
            return logits
        return [[self.softcap * (logit / self.softcap).tanh() for logit in vector] for vector in logits]


class Transform:
    """The layer before the output matrix: norm(f(x Wᵀ + b)), with f the activation for words; tanh without a norm for
    classes."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        words = spec.head == "language"
        self.activation = ACTIVATIONS[spec.activation] if words else Value.tanh
        self.weight, self.bias = parameters["transform"], parameters["transform_bias"]
        self.norm = norm(spec, parameters.under("transform_norm")) if words else Unchanged()

    def forward(self, x: Matrix) -> Matrix:
        """(length, width) -> the same"""
        bent = [list(map(self.activation, vector)) for vector in linear(x, self.weight, self.bias)]
        return self.norm.forward(bent)
