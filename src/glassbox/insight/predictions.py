"""What a model expects after each token: probabilities, how unsure it is, and what the token that came cost it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight.trace import Recording, run


@dataclass(frozen=True)
class NextTokens:
    """Of each place in a batch of tokens, what comes after it.

    entropy:       bits of the predicted distribution, (batch, length).
    likeliest:     ids of the k likeliest tokens, best first, (batch, length, k), and their probabilities.
    loss:          nats that the token which came cost, (batch, length - 1).
    rank:          how many tokens were thought likelier than the one that came, (batch, length - 1).
    """

    entropy: Tensor
    likeliest: Tensor
    probabilities: Tensor
    loss: Tensor
    rank: Tensor


@torch.no_grad()
def next_tokens(model: Transformer, tokens: Tensor, *, count: int = 5, source: Tensor | None = None) -> NextTokens:
    """Predictions over ids (batch, length); count: how many of the likeliest.

    Raises BadInput for a model that gives classes or vectors.
    """
    check_says_tokens(model)
    return judge(run(model, tokens, Recording(()), source), tokens, count)


def check_says_tokens(model: Transformer) -> None:
    """Raises BadInput for a model that gives classes or vectors."""
    if model.spec.head != "language":
        raise BadInput(f"A model that gives {model.spec.head} predicts no tokens.", "Trace its values instead.")


def judge(logits: Tensor, tokens: Tensor, count: int) -> NextTokens:
    """The same from logits (batch, length, vocabulary) of these tokens (batch, length)."""
    logs = logits.double().log_softmax(-1)
    top = logs.topk(min(count, logs.shape[-1]), -1)
    came = logs[:, :-1].gather(-1, tokens[:, 1:, None])  # (batch, length - 1, 1)
    return NextTokens(
        entropy=-(logs.exp() * logs).nan_to_num().sum(-1) / math.log(2),
        likeliest=top.indices,
        probabilities=top.values.exp(),
        loss=-came.squeeze(-1),
        rank=(logs[:, :-1] > came).sum(-1),
    )
