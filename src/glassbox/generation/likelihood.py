"""How likely a model found what was chosen, and what else it might have said."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely the model, before any setting of decoding, found a token: natural logarithms of probabilities.

    alternatives: the most likely ids, each with its log-probability.
    """

    log_probability: float
    alternatives: tuple[tuple[int, float], ...]


def likelihoods(logits: Tensor, tokens: Tensor, alternatives: int) -> list[Likelihood]:
    """Of each row's token (rows,), from the model's own logits (rows, vocabulary)."""
    log_probabilities = logits.float().log_softmax(-1)
    chosen = log_probabilities.gather(1, tokens[:, None])[:, 0].tolist()
    best = log_probabilities.topk(min(alternatives, logits.shape[-1]))
    return [
        Likelihood(probability, tuple(zip(ids, values, strict=True)))
        for probability, ids, values in zip(chosen, best.indices.tolist(), best.values.tolist(), strict=True)
    ]
