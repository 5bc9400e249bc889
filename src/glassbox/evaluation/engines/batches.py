"""Batches that any model can read and learn something from, without a file: each a pure function of (seed, step).

Of a token, the next one is 3 · token + 1 + n modulo the vocabulary, n being 0, 1 or 2 alike: a decoder that has learned
all of it is left with a loss of ln 3 = 1.0986 nats (of ln 2 with a vocabulary of two).
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from glassbox.engines.interface import Array, Transformer
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec

Rows = list[list[int]]
NEXT = 3  # tokens that may follow


def batch(spec: ModelSpec, rows: int, length: int, seed: int, step: int) -> tuple[Rows, Rows | list[int]]:
    """Tokens (rows, length), and their targets: the tokens after them, or one class for each row of a classifier.

    Raises BadInput for an encoder-decoder.
    """
    if spec.kind == "encoder-decoder":
        raise BadInput(
            "These batches hold no source, which an encoder-decoder reads.", "Compare another kind of model."
        )
    generator = np.random.default_rng([seed, step])
    choices = min(NEXT, spec.vocabulary_size)
    tokens = np.empty((rows, length + 1), np.int64)
    tokens[:, 0] = generator.integers(spec.vocabulary_size, size=rows)
    noise = generator.integers(choices, size=(rows, length))
    for place in range(length):
        tokens[:, place + 1] = (3 * tokens[:, place] + 1 + noise[:, place]) % spec.vocabulary_size
    if spec.head == "classes":
        return tokens[:, :-1].tolist(), (tokens[:, 0] % spec.classes).tolist()
    return tokens[:, :-1].tolist(), tokens[:, 1:].tolist()


def engine_batch(model: Transformer, drawn: tuple[Rows, Rows | list[int]]) -> tuple[Array, Array]:
    """The same as arrays of the model's engine."""
    tokens, targets = drawn
    if model.spec.head == "classes":
        return model.batch(tokens), model.batch([cast(list[int], targets)])[0]
    return model.batch(tokens), model.batch(cast(Rows, targets))


def least_loss(spec: ModelSpec) -> float:
    """What a decoder's loss cannot stay below on these batches, in nats; other models see the answer and reach 0."""
    return math.log(min(NEXT, spec.vocabulary_size)) if spec.kind == "decoder" else 0.0
