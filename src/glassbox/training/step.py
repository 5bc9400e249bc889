"""One update of the weights: forward, backward, clip, update. The loop says when; this file says what.

Nothing here waits for the device: loss and gradient norm come back as tensors, to be read when somebody wants them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from glassbox.data.batches import Batch
from glassbox.engines.interface import IGNORED
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import Optimizer
from glassbox.training.parallel import ALONE, Group
from glassbox.training.precision import FORMATS


class StepResult(NamedTuple):
    """Of one update, scalars all.

    loss:          nats per target token before it.
    gradient_norm: L2 over all weights, before clipping.
    balance:       with experts, their load-balancing loss (`Details.balance`), the mean over micro-batches.
    """

    loss: Tensor
    gradient_norm: Tensor
    balance: Tensor | None = None


class TrainingStep:
    """Calling it with a step's number, its batch and its learning rate updates the model once.

    micro_batch: windows of one forward pass. A larger batch is cut into several whose gradients add up to its own.
    clip:        the gradient norm is brought down to this (Pascanu et al. 2013); 0 never.
    precision:   fp32; bf16 and fp16 multiply matrices in that format and keep the weights in float32 (Micikevicius
                 et al. 2018); with fp16 the loss is scaled so that small gradients don't vanish.
    seed:        of dropout's masks, which are a function of (seed, step) alone, and of the rank in a group.
    compiled:    let torch.compile fuse forward and backward pass.
    group:       the processes that share each batch; what comes back is of the whole batch.
    """

    def __init__(
        self,
        model: Transformer,
        optimizer: Optimizer,
        *,
        micro_batch: int,
        clip: float = 0.0,
        precision: str = "fp32",
        seed: int = 0,
        compiled: bool = False,
        group: Group = ALONE,
    ) -> None:
        self.model, self.optimizer, self.group = model, optimizer, group
        self.micro_batch, self.clip, self.seed = micro_batch, clip, seed
        self.precision = precision
        self.device = next(model.parameters()).device
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self._forward = torch.compile(model) if compiled else model

    def __call__(self, step: int, batch: Batch, learning_rate: float) -> StepResult:
        """Train on one batch. Leaves the gradients in place until the next call, to be looked at."""
        if self.model.dropout:
            torch.manual_seed(dropout_seed(self.seed, step, self.group.rank))
        self.optimizer.zero_grad(set_to_none=True)
        told, targets = self._gradients(batch)
        loss, *balance = self.group.average(self.parameters, told, targets)
        self.scaler.unscale_(self.optimizer)
        norm = self._clip()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["lr_factor"]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return StepResult(loss, norm, *balance)

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of (batch, length) ids in training's number format, without dropout and without gradients."""
        self.model.eval()
        try:
            with torch.no_grad(), self._autocast():
                return self._details(self.model, inputs, targets).loss
        finally:
            self.model.train()

    def facts(self) -> dict[str, Any]:
        """The scale of fp16, as JSON: what a checkpoint keeps beside the weights and the optimiser's state."""
        return self.scaler.state_dict()

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Go on with the scale that `facts` gave."""
        if facts:
            self.scaler.load_state_dict(dict(facts))

    def _gradients(self, batch: Batch) -> tuple[list[Tensor], int]:
        """Add up the gradients of the micro-batches. The losses (`StepResult`) of them all, and their targets' number.

        A micro-batch without targets is left out; where none has any, there are no gradients and the losses are NaN.
        """
        parts = [
            Batch(batch.inputs[first : first + self.micro_batch], batch.targets[first : first + self.micro_batch])
            for first in range(0, len(batch.inputs), self.micro_batch)
        ]
        counted = [int(np.count_nonzero(part.targets != IGNORED)) for part in parts]
        targets = sum(counted)
        told = [self._backward(part, count / targets) for part, count in zip(parts, counted, strict=True) if count]
        if not told:
            kinds = 1 if self.model.spec.experts is None else 2
            return [self.parameters[0].new_full((), torch.nan)] * kinds, 0
        return [torch.stack(kind).sum() for kind in zip(*told, strict=True)] if len(told) > 1 else told[0], targets

    def _backward(self, batch: Batch, share: float) -> list[Tensor]:
        """share: what part of the batch's targets these are, so that the parts' means add up to the whole's mean."""
        inputs, targets = (torch.from_numpy(ids).to(self.device, non_blocking=True) for ids in batch)
        with self._autocast():
            details = self._details(self._forward, inputs, targets)
            objective = self.model.objective(details)
        if share != 1.0:
            objective = objective * share
        self.scaler.scale(objective).backward()
        told = [details.loss, details.balance]
        return [scalar.detach() * share for scalar in told if scalar is not None]

    def _clip(self) -> Tensor:
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        return norm

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, FORMATS[self.precision])

    @staticmethod
    def _details(forward: Any, inputs: Tensor, targets: Tensor) -> Any:
        _, details = forward(inputs, targets)
        return details


def dropout_seed(seed: int, step: int, rank: int = 0) -> int:
    """Well-mixed bits for PyTorch's generator, so that neighbouring steps, seeds and processes share nothing."""
    moment = f"{seed}/{step}/{rank}" if rank else f"{seed}/{step}"
    return int.from_bytes(hashlib.blake2b(moment.encode(), digest_size=7).digest(), "big")
