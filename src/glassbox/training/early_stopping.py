"""Early stopping: remember the best weights on held-out text, and stop waiting for better ones (Prechelt 1998)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch


class EarlyStopping:
    """Watches the validation loss.

    patience: evaluations in a row without a new best before `exhausted`; 0 never stops and keeps no weights.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_loss = math.inf
        self.best_step: int | None = None
        self.best_weights: dict[str, torch.Tensor] = {}
        self.waited = 0

    @property
    def exhausted(self) -> bool:
        """Has it waited long enough?"""
        return 0 < self.patience <= self.waited

    def observe(self, step: int, loss: float, weights: Mapping[str, torch.Tensor]) -> bool:
        """Take note of an evaluation after `step` steps; True for a new best, whose weights are copied."""
        if loss >= self.best_loss:
            self.waited += 1
            return False
        self.best_loss, self.best_step, self.waited = loss, step, 0
        if self.patience:
            self.best_weights = {name: weight.detach().clone() for name, weight in weights.items()}
        return True

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps beside `best_weights`, as JSON."""
        return {
            "best_loss": None if self.best_step is None else self.best_loss,
            "best_step": self.best_step,
            "waited": self.waited,
        }

    def restore(self, facts: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `facts` gave, with the best weights kept beside it."""
        self.best_step = facts["best_step"]
        self.best_loss = math.inf if facts["best_loss"] is None else facts["best_loss"]
        self.waited = facts["waited"]
        self.best_weights = dict(weights)
