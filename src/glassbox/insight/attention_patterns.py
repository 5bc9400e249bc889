"""What kind of attention is this? Scores from 0 to 1 by published definitions.

previous     weight on the token before (Clark et al. 2019, "What Does BERT Look At?", §3.1)
first        weight on the very first token: a sink (Xiao et al. 2023, "Efficient Streaming Language Models", §3.1)
self         weight on the token itself (Clark et al. 2019, §3.1)
induction    weight on tokens that followed earlier occurrences of the present token: the prefix matching score
             (Olsson et al. 2022, "In-context Learning and Induction Heads", appendix "Head activation evaluators")
duplicate    weight on earlier occurrences of the present token (Wang et al. 2022, "Interpretability in the Wild")
local        how much nearer than evenly spread attention it looks: 1 - distance / distance of even attention, where
             distance is the mean of |i - j| by weight (Vig & Belinkov 2019, "Analyzing the Structure of Attention in
             a Transformer Language Model")
uniform      1 - total variation distance from even attention over all tokens that may be seen
focused      1 - entropy / entropy of even attention (Clark et al. 2019, §3.3)
distributed  entropy / entropy of even attention

Each is a mean over rows in which it can be told: from the third token on, where itself, the one before and the first
are three different tokens; for induction and duplicate those with an earlier occurrence, and without any of those it
is undefined (NaN).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from glassbox.errors import BadInput

Pattern = Literal["previous", "first", "self", "induction", "duplicate", "local", "uniform", "focused", "distributed"]
PATTERNS: Mapping[Pattern, str] = {
    "previous": "looks at the token before",
    "first": "looks at the very first token: a sink",
    "self": "looks at the token itself",
    "induction": "looks at what followed the same token earlier",
    "duplicate": "looks at the same token earlier",
    "local": "looks at tokens nearby",
    "uniform": "looks at all tokens alike",
    "focused": "looks at few tokens",
    "distributed": "looks at many tokens",
}
FIRST_ROW = 2  # from here on itself, the one before and the first are three tokens


def attention_scores(weights: Tensor, tokens: Tensor, *, causal: bool = True) -> dict[Pattern, Tensor]:
    """Pattern -> score of each head, (heads,).

    weights: of one layer, (batch, heads, length, length), rows summing to 1. tokens: ids, (batch, length).
    Raises BadInput for fewer than three tokens, and for weights of other tokens than these.
    """
    length = tokens.shape[1]
    if length <= FIRST_ROW:
        raise BadInput(f"Patterns show from three tokens on, and {length} came.", "Give a longer text.")
    if weights.shape[-2:] != (length, length) or len(weights) != len(tokens):
        raise BadInput(
            f"The weights are of shape {tuple(weights.shape)} and the tokens of shape {tuple(tokens.shape)}.",
            "Give weights (batch, heads, length, length) of these tokens (batch, length).",
        )
    weights = weights.double()
    rows = torch.arange(length, device=weights.device)
    seen = torch.ones(length, length, dtype=torch.bool, device=weights.device)
    if causal:
        seen = seen.tril()
    earlier = (tokens[:, :, None] == tokens[:, None, :]) & (rows[:, None] > rows)  # (batch, length, length)
    followers = torch.zeros_like(earlier)
    followers[:, :, 1:] = earlier[:, :, :-1]
    evenness = _entropy(weights)[..., FIRST_ROW:].mean((0, 2)) / _entropy(_even(seen))[FIRST_ROW:].mean()
    return {
        "previous": weights.diagonal(-1, 2, 3)[..., FIRST_ROW - 1 :].mean((0, 2)),
        "first": weights[:, :, FIRST_ROW:, 0].mean((0, 2)),
        "self": weights.diagonal(0, 2, 3)[..., FIRST_ROW:].mean((0, 2)),
        "induction": _share(weights, followers),
        "duplicate": _share(weights, earlier),
        "local": _nearness(weights, seen),
        "uniform": 1 - 0.5 * (weights - _even(seen)).abs().sum(-1)[..., FIRST_ROW:].mean((0, 2)),
        "focused": 1 - evenness,
        "distributed": evenness,
    }


def row_entropies(weights: Tensor) -> Tensor:
    """Shannon entropy of each row of attention in bits: (..., length, keys) -> (..., length)."""
    return _entropy(weights) / math.log(2)


def _share(weights: Tensor, places: Tensor) -> Tensor:
    """The weight that lies on these places, over the rows that have any: (batch, length, length) -> (heads,)."""
    has_any = places.any(-1)  # (batch, length)
    on_places = (weights * places[:, None]).sum(-1)  # (batch, heads, length)
    return (on_places * has_any[:, None]).sum((0, 2)) / has_any.sum()


def _nearness(weights: Tensor, seen: Tensor) -> Tensor:
    """1 - mean distance / that of even attention, at least 0: (heads,)."""
    rows = torch.arange(len(seen), device=weights.device)
    away = (rows[:, None] - rows).abs().double()
    distance = (weights * away).sum(-1)[..., FIRST_ROW:].mean((0, 2))
    return (1 - distance / (_even(seen) * away).sum(-1)[FIRST_ROW:].mean()).clamp(min=0)


def _even(seen: Tensor) -> Tensor:
    """The same weight on every token that may be seen: (length, length)."""
    return seen / seen.sum(-1, keepdim=True, dtype=torch.float64)


def _entropy(weights: Tensor) -> Tensor:
    """Nats: (..., keys) -> (...)."""
    return -torch.special.xlogy(weights, weights).sum(-1)
