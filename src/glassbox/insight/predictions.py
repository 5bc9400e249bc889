"""What a model expects at each place: probabilities, how unsure it is, and what the token that stands there cost it.

A causal model says what comes after each token. An encoder says what stands at each place; that is a prediction only
where it doesn't see the place, so that each is masked in turn (Salazar et al. 2020, "Masked Language Model Scoring").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight.trace import Recording, run


@dataclass(frozen=True)
class Predictions:
    """Of each place in a batch of tokens, what comes after it, or with an encoder what stands there.

    entropy:       bits of the predicted distribution, (batch, length).
    likeliest:     ids of the k likeliest tokens, best first, (batch, length, k), and their probabilities.
    loss:          nats that the tokens cost: of a causal model all but the first, (batch, length - 1); of an encoder
                   all, (batch, length).
    rank:          how many tokens were thought likelier than the one that is there, as the loss.
    """

    entropy: Tensor
    likeliest: Tensor
    probabilities: Tensor
    loss: Tensor
    rank: Tensor


@torch.no_grad()
def next_tokens(model: Transformer, tokens: Tensor, *, count: int = 5, source: Tensor | None = None) -> Predictions:
    """What a causal model expects after each of the ids (batch, length); count: how many of the likeliest.

    Raises BadInput for an encoder, and for a model that gives classes or vectors.
    """
    check_says_tokens(model)
    if not model.spec.causal:
        raise BadInput("An encoder predicts no next tokens.", "Mask its tokens instead (masked_tokens).")
    return judge(run(model, tokens, Recording(()), source), tokens, count, causal=True)


@torch.no_grad()
def masked_tokens(model: Transformer, tokens: Tensor, mask: int, *, count: int = 5) -> Predictions:
    """What an encoder expects at each place of one text, (1, length), when that place is masked by the id `mask`.

    Raises BadInput for a causal model, and for a model that gives classes or vectors.
    """
    check_says_tokens(model)
    if model.spec.causal:
        raise BadInput("A causal model has no mask.", "Ask for its next tokens instead.")
    length = tokens.shape[1]
    places = torch.arange(length, device=tokens.device)
    rows = tokens.repeat(length, 1)  # row i has its place i masked
    rows[places, places] = mask
    logits = run(model, rows, Recording(()))[places, places]  # (length, vocabulary)
    return judge(logits[None], tokens, count, causal=False)


def check_says_tokens(model: Transformer) -> None:
    """Raises BadInput for a model that gives classes or vectors."""
    if model.spec.head != "language":
        raise BadInput(f"A model that gives {model.spec.head} predicts no tokens.", "Trace its values instead.")


def judge(logits: Tensor, tokens: Tensor, count: int, *, causal: bool) -> Predictions:
    """The same from logits (batch, length, vocabulary) about these tokens (batch, length) or those after them."""
    logs = logits.double().log_softmax(-1)
    top = logs.topk(min(count, logs.shape[-1]), -1)
    about, there = (logs[:, :-1], tokens[:, 1:]) if causal else (logs, tokens)
    cost = about.gather(-1, there[..., None])  # (batch, length or length - 1, 1)
    return Predictions(
        entropy=-(logs.exp() * logs).nan_to_num().sum(-1) / math.log(2),
        likeliest=top.indices,
        probabilities=top.values.exp(),
        loss=-cost.squeeze(-1),
        rank=(about > cost).sum(-1),
    )
