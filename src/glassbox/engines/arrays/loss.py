"""The loss: how surprised the model is by what comes next."""

from __future__ import annotations

import numpy as np

from glassbox.engines.arrays.parameters import Array, Tokens
from glassbox.engines.interface import IGNORED


def cross_entropy(logits: Array, targets: Tokens, counted: int) -> tuple[np.floating, Array]:
    """The sum of log(sum over j of exp(z_j)) - z_target over the rows whose target counts, divided by `counted`.

    logits (rows, vocabulary), targets (rows,) -> the loss in nats, and the probabilities softmax(z), which the
    backward pass needs. `counted` may include rows of other parts of the batch.
    """
    shifted = logits - np.maximum.reduce(logits, -1, keepdims=True)  # so that exp doesn't overflow
    exponentials = np.exp(shifted)
    sums = np.add.reduce(exponentials, -1, keepdims=True)  # (rows, 1)
    surprises = np.log(sums[:, 0]) - shifted[np.arange(len(targets)), targets]  # (rows,)
    if counted != len(targets):
        surprises *= targets != IGNORED
    exponentials /= sums
    return np.add.reduce(surprises) / counted, exponentials


def cross_entropy_backward(probabilities: Array, targets: Tokens, counted: int) -> Array:
    """dz = (softmax(z) - onehot(target)) / counted, zero where the target doesn't count.

    Written over the probabilities.
    """
    d_logits = probabilities
    d_logits[np.arange(len(targets)), targets] -= 1
    d_logits *= 1 / counted
    if counted != len(targets):
        d_logits[targets == IGNORED] = 0
    return d_logits
