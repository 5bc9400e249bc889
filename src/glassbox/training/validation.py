"""The loss on held-out text: on a fixed sample of windows while training, on the whole split at the end.

Both are means over target tokens in nats, each window read on its own with nothing before it. The sample is the same
windows every time, spread evenly over the split, so that two evaluations differ by the weights alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch

from glassbox.data.batches import Batch, validation_windows
from glassbox.data.shards import ShardSplit
from glassbox.training.parallel import ALONE, Group

_Item = TypeVar("_Item")
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Mean loss in nats of inputs and targets, each (batch, length)."""


class Validation:
    """Held-out text of one split.

    context: tokens of a window. batch_size: windows at once. sample_tokens: targets in the sample, about.
    group: the processes that share the work; each of them gets the loss of the whole.
    """

    def __init__(
        self,
        split: ShardSplit,
        context: int,
        batch_size: int,
        sample_tokens: int,
        device: torch.device,
        group: Group = ALONE,
    ) -> None:
        self.split, self.context, self.batch_size, self.device = split, context, batch_size, device
        self.group = group
        self._targets_per_byte = (split.token_count - 1) / split.byte_count if split.byte_count else math.nan
        self._sample = [self._to_device(batch) for batch in self._spread(sample_tokens)]

    @torch.no_grad()
    def sampled_loss(self, loss: Loss) -> float:
        """Nats per token on the sample."""
        return self._mean(loss, self._share(self._sample))

    @torch.no_grad()
    def full_loss(self, loss: Loss) -> float:
        """Nats per token on the whole split: every token but the first is predicted exactly once."""
        windows = self._share(validation_windows(self.split, self.context, self.batch_size))
        return self._mean(loss, map(self._to_device, windows))

    def bits_per_byte(self, nats_per_token: float) -> float:
        """The same loss in a unit that no tokenizer can flatter: bits for each byte of the split's text in UTF-8."""
        return nats_per_token / math.log(2) * self._targets_per_byte

    @property
    def sample_tokens(self) -> int:
        """Targets in the sample."""
        return sum(targets.numel() for _, targets in self._sample)

    def _spread(self, sample_tokens: int) -> Iterator[Batch]:
        whole = (len(self.split.tokens) - 1) // self.context  # windows side by side
        wanted = max(1, round(sample_tokens / self.context))
        if whole <= wanted:
            yield from validation_windows(self.split, self.context, self.batch_size)
            return
        starts = [number * whole // wanted * self.context for number in range(wanted)]
        for first in range(0, wanted, self.batch_size):
            rows = [
                self.split.tokens[start : start + self.context + 1].astype(np.int64)
                for start in starts[first : first + self.batch_size]
            ]
            windows = np.stack(rows)  # (rows, context + 1)
            yield Batch(windows[:, :-1], windows[:, 1:])

    def _to_device(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = (torch.from_numpy(np.ascontiguousarray(ids)).to(self.device) for ids in batch)
        return inputs, targets

    def _share(self, batches: Iterable[_Item]) -> Iterator[_Item]:
        """Those that are this process's to measure."""
        return itertools.islice(batches, self.group.rank, None, self.group.world_size)

    def _mean(self, loss: Loss, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        """Mean of means, each weighted with its count; summed in float64 on the device, read once."""
        total, tokens = torch.zeros((), dtype=torch.float64, device=self.device), 0
        for inputs, targets in batches:
            total = total + loss(inputs, targets).double() * targets.numel()
            tokens += targets.numel()
        sums = self.group.total(torch.stack([total, torch.full_like(total, tokens)])).tolist()
        return sums[0] / sums[1]
