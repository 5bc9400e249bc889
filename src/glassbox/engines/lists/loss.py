"""The loss: how surprised the model is by what comes next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from glassbox.engines.interface import IGNORED
from glassbox.engines.lists.attention import softmax
from glassbox.engines.lists.parameters import Matrix, Vector


class Loss(float):
    """A mean cross-entropy in nats: a number that carries what its backward pass needs (`saved`)."""

    saved: Any

    def item(self) -> float:
        return float(self)


def cross_entropy(logits: Matrix, targets: Sequence[int]) -> float:
    """Σ log Σ exp(zⱼ) - z[target], over the vectors (vocabulary,) whose target counts."""
    return sum(_surprise(vector, target) for vector, target in zip(logits, targets, strict=True) if target != IGNORED)


def cross_entropy_backward(logits: Matrix, targets: Sequence[int], counted: int) -> Matrix:
    """dz = (softmax(z) - onehot(target)) / counted, and zero where the target doesn't count"""
    d_logits: Matrix = []
    for vector, target in zip(logits, targets, strict=True):
        if target == IGNORED:
            d_logits.append([0.0] * len(vector))
            continue
        d_logits.append([probability / counted for probability in softmax(vector)])
        d_logits[-1][target] -= 1 / counted
    return d_logits


def _surprise(logits: Vector, target: int) -> float:
    largest = max(logits)
    return math.log(sum([math.exp(logit - largest) for logit in logits])) + largest - logits[target]
