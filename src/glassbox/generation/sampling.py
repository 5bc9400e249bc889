"""From logits to a choice: pure functions on logits (rows, vocabulary).

The order is that of `transformers`: penalties, temperature, top-k, top-p, min-p, then one draw. What is ruled out
becomes -inf. A draw is a function of (seed, row, position) and nothing else: neither the other rows of the batch nor
what was drawn before changes it.

A number that a function takes, k, p or a penalty, is one for all rows or a column of one for each, (rows, 1).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glassbox.generation.settings import Decoding


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: float | Tensor) -> Tensor:
    """Divide positive logits of tokens in prompt or answer by the penalty, multiply negative (CTRL, Keskar 2019, §4.1).

    seen: (rows, vocabulary), true or positive for tokens that stand there.
    """
    return torch.where(seen > 0, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def penalize_presence(logits: Tensor, counts: Tensor, penalty: float | Tensor) -> Tensor:
    """Subtract the penalty from every token that the answer holds already; counts: (rows, vocabulary)."""
    return logits - penalty * (counts > 0)


def penalize_frequency(logits: Tensor, counts: Tensor, penalty: float | Tensor) -> Tensor:
    """Subtract the penalty as often as the answer holds the token already; counts: (rows, vocabulary)."""
    return logits - penalty * counts


def keep_top_k(logits: Tensor, k: int | Tensor) -> Tensor:
    """Rule out all but the k most likely tokens, and those as likely as the last of them (Fan et al. 2018, §5.4)."""
    vocabulary = logits.shape[-1]
    if isinstance(k, Tensor):
        ranks = k.clamp(max=vocabulary)  # (rows, 1)
        last = logits.topk(int(ranks.max())).values.gather(1, ranks - 1)
    elif k < vocabulary:
        last = logits.topk(k).values[:, -1:]
    else:
        return logits
    return logits.masked_fill(logits < last, -math.inf)


def keep_top_p(logits: Tensor, p: float | Tensor) -> Tensor:
    """Keep the most likely tokens until their probabilities add up to p (nucleus; Holtzman et al. 2020, §3.1)."""
    ordered, order = logits.sort(descending=True)
    before = ordered.softmax(-1).cumsum(-1).roll(1, -1)  # the probability of all that are more likely
    before[:, 0] = 0  # the most likely token always stays
    return logits.masked_fill((before >= p).scatter(1, order, before >= p), -math.inf)


def keep_min_p(logits: Tensor, p: float | Tensor) -> Tensor:
    """Rule out tokens less likely than p times the most likely one (Nguyen et al. 2024, §3)."""
    distance = p.log() if isinstance(p, Tensor) else math.log(p)
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + distance, -math.inf)


def penalized(logits: Tensor, decoding: Decoding, seen: Tensor | None, counts: Tensor | None) -> Tensor:
    """All penalties that the settings ask for; the counts are needed only then."""
    if decoding.repetition_penalty != 1:
        assert seen is not None
        logits = penalize_repetition(logits, seen, decoding.repetition_penalty)
    if decoding.presence_penalty:
        assert counts is not None
        logits = penalize_presence(logits, counts, decoding.presence_penalty)
    if decoding.frequency_penalty:
        assert counts is not None
        logits = penalize_frequency(logits, counts, decoding.frequency_penalty)
    return logits


def warped(logits: Tensor, decoding: Decoding) -> Tensor:
    """Temperature and the limits to the likeliest tokens; the temperature isn't 0."""
    if decoding.temperature != 1:
        logits = logits / decoding.temperature
    if decoding.top_k:
        logits = keep_top_k(logits, decoding.top_k)
    if decoding.top_p < 1:
        logits = keep_top_p(logits, decoding.top_p)
    if decoding.min_p > 0:
        logits = keep_min_p(logits, decoding.min_p)
    return logits


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """One token a row, (rows,): where the row's uniform number in [0, 1) falls among the summed probabilities.

    In double precision, so that a token with probability 0 is never drawn.
    """
    summed = logits.double().softmax(-1).cumsum(-1)
    total = summed[:, -1:]
    below = uniform.view(-1, 1) * total
    return torch.searchsorted(summed, below.minimum(total.nextafter(torch.zeros_like(total))), right=True)[:, 0]


def uniform_numbers(
    seed: int | NDArray[np.uint64], rows: NDArray[np.uint64], positions: NDArray[np.uint64]
) -> NDArray[np.float64]:
    """A number in [0, 1) for each (seed, row, position), broadcast together: the last of three rounds of splitmix64
    (Steele et al. 2014), 53 bits of it.
    """
    with np.errstate(over="ignore"):
        state = _mixed(_mixed(_mixed(np.asarray(seed, np.uint64)) ^ rows) ^ positions)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(x: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """splitmix64: a bijection that makes neighbouring numbers look unrelated."""
    x = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
