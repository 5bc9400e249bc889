"""The loss: how surprised the model is by what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox.engines.interface import IGNORED
from glassbox.engines.scalars.value import Matrix, Value, Vector, total


def cross_entropy(logits: Matrix, targets: Sequence[int]) -> Vector:
    """log Σ exp(zⱼ) - z[target] of each vector (vocabulary,) whose target counts."""
    return [_surprise(vector, target) for vector, target in zip(logits, targets, strict=True) if target != IGNORED]


def _surprise(logits: Vector, target: int) -> Value:
    largest = max(logit.data for logit in logits)
    return total([(logit - largest).exp() for logit in logits]).log() + largest - logits[target]
