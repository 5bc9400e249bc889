"""Many passes that are one pass up to some block: what they share is computed once.

A trunk is a pass of which we hold what entered each block. A branch leaves it before the block where it differs, so
that the blocks before needn't be run again. All branches go on side by side: a block is run once, over the rows that
have left the trunk so far. They share too what the trunk has read before the first token that differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.values import NOTHING, Keep
from glassbox.insight.interventions import Change, Changing

LAST = slice(-1, None)  # where this alone is asked for, the last block is spared for the other tokens


@dataclass(frozen=True)
class Trunk:
    """tokens: ids, (batch, length). streams: what entered each block, and last the final norm, (batch, length, width).
    read: keys and values of every layer, (layers, 2, batch, key_value_heads, length, head_width)."""

    model: Transformer
    tokens: Tensor
    streams: list[Tensor]
    read: Tensor

    @torch.no_grad()
    def through(self, layer: int, changes: Mapping[str, Change]) -> Tensor:
        """What this block alone makes of its stream with these values changed: (batch, length, width)."""
        _, around = self.model.enter(self.tokens)
        return self.model.through(layer, self.streams[layer], around, Changing(changes))

    @torch.no_grad()
    def logits(
        self,
        leaving: Mapping[int, Tensor],
        changes: Mapping[str, Change],
        *,
        start: int = 0,
        positions: slice = slice(None),
    ) -> Tensor:
        """The logits of all branches, in the order in which they leave: (rows, positions, vocabulary).

        leaving:   block -> what enters it in the branches that leave there, (rows, length - start, width); the number
                   of blocks stands for the final norm. Rows are as many times the trunk's batch.
        changes:   what else is changed on the way, by name. A change sees the rows that have left so far.
        start:     the first token that differs in any branch.
        positions: of the tokens from `start` on, those whose logits are wanted.
        """
        model, layers = self.model, self.model.spec.layers
        tokens = self.tokens[:, start:]
        _, around = model.enter(tokens, cache=_Shared.over(self.read, start, None) if start else None)
        keep, first = Changing(changes), min(leaving)
        x = leaving[first]
        for layer in range(first, layers):
            if layer > first and layer in leaving:
                x = torch.cat((x, leaving[layer]))
            around = replace(around, tokens=tokens.repeat(len(x) // len(tokens), 1))
            if positions == LAST and layer == layers - 1:
                around = around.of_last_token()
            x = model.through(layer, x, around, keep)  # (rows, length - start, width), or (rows, 1, width) of the last
        x = x[:, positions]
        if first < layers and layers in leaving:
            x = torch.cat((x, leaving[layers][:, positions]))
        return model.logits(model.final_norm(x, keep.under("final_norm")), keep.under("output"))


@torch.no_grad()
def grow(model: Transformer, tokens: Tensor, keep: Keep = NOTHING) -> Trunk:
    """Read ids, (batch, length), with a decoder."""
    cache = Cache(model.spec, *tokens.shape, like=model.embedding.tokens)
    x, around = model.enter(tokens, cache=cache, keep=keep)
    streams = [x]
    for layer in range(model.spec.layers):
        streams.append(model.through(layer, streams[-1], around, keep))
    return Trunk(model, tokens, streams, cache.store)


class _Shared(Cache):
    """What the trunk has read, once for all branches: what is new is put behind it and not held."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        read = self.store[layer, :, :, :, : self.length]  # (2, batch, key_value_heads, start, head_width)
        read = read.repeat(1, len(keys) // self.batch, 1, 1, 1)  # (2, rows, key_value_heads, start, head_width)
        return torch.cat((read[0], keys), 2), torch.cat((read[1], values), 2)
