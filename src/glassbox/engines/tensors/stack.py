"""A stack of blocks with what stands before and after them: a whole encoder, or a decoder up to its output."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glassbox.engines.tensors.attention import Surroundings
from glassbox.engines.tensors.block import Block
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.embedding import Embedding
from glassbox.engines.tensors.normalization import Unchanged, norm
from glassbox.engines.tensors.positions import Tables
from glassbox.engines.tensors.relative_positions import RelativePositions
from glassbox.engines.tensors.source import Source
from glassbox.engines.values import NOTHING, Keep
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec


class Stack(nn.Module):
    """Embedding, blocks, final norm. For dropout and checkpointing see `Transformer`."""

    def __init__(self, spec: ModelSpec, embedding: Embedding, *, dropout: float, checkpointing: bool) -> None:
        super().__init__()
        self.spec = spec
        self.dropout = dropout
        self.checkpointing = checkpointing
        self.tables = Tables(spec)
        self.embedding = embedding
        self.embedding_norm = norm(spec) if spec.embedding_norm else Unchanged()
        self.relative_positions = RelativePositions(spec) if spec.positions == "relative" else None
        self.blocks = nn.ModuleList(Block(spec, layer) for layer in range(spec.layers))
        self.final_norm = norm(spec) if spec.final_norm else Unchanged()

    def read(
        self,
        tokens: Tensor,
        *,
        types: Tensor | None = None,
        present: Tensor | None = None,
        source: Source | None = None,
        cache: Cache | None = None,
        keep: Keep = NOTHING,
        balances: list[Tensor] | None = None,
    ) -> Tensor:
        """Ids (batch, length) -> what the final norm gives, (batch, length, width).

        types:    the kind of each token, (batch, length), with token types; None: 0 for all.
        source:   what the encoder has read, for the decoder of an encoder-decoder.
        balances: gets the load-balancing loss of each layer with experts.
        """
        x, around = self.enter(
            tokens, types=types, present=present, source=source, cache=cache, keep=keep, balances=balances
        )
        for layer in range(self.spec.layers):
            x = self.through(layer, x, around, keep)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.final_norm(x, keep.under("final_norm"))

    def enter(
        self,
        tokens: Tensor,
        *,
        types: Tensor | None = None,
        present: Tensor | None = None,
        source: Source | None = None,
        cache: Cache | None = None,
        keep: Keep = NOTHING,
        balances: list[Tensor] | None = None,
    ) -> tuple[Tensor, Surroundings]:
        """What stands before the blocks: the stream that enters the first, (batch, length, width), and what all share.

        The arguments are those of `read`.
        """
        start = 0 if cache is None else cache.length
        end = start + tokens.shape[1]
        self._check_room(end, cache)
        padding = None if cache is None else cache.padding
        positions = None
        if padding is not None:  # (batch, length); padding itself stands at 0 and is seen by nobody
            positions = (torch.arange(start, end, device=tokens.device) - padding[:, None]).clamp_(min=0)
        dropout = self.dropout if self.training else 0.0

        x = self.embedding(tokens, start, positions, self.tables, keep.under("embedding"), types=types)
        x = self.embedding_norm(x, keep.under("embedding_norm"))
        if dropout:
            x = F.dropout(x, dropout)
        if torch.is_autocast_enabled(x.device.type):  # from here on everything is computed in one dtype
            x = x.to(torch.get_autocast_dtype(x.device.type))
        bias = self._bias(start, end, x, present, padding)
        causal = bias is None and self.spec.causal
        if end == start + 1:  # one token has nothing ahead of it; a branch, because compiled lengths are symbols
            causal = False
        return x, Surroundings(
            tokens=tokens,
            rotary=self._rotary(start, end, positions, x),
            bias=bias,
            causal=causal,
            cache=cache,
            dropout=dropout,
            present=None if present is None else present[:, start:],
            balances=balances,
            source=source,
        )

    def through(self, layer: int, x: Tensor, around: Surroundings, keep: Keep = NOTHING) -> Tensor:
        """The stream behind a block: (batch, length, width) -> the same, or (batch, 1, width) of the last tokens."""
        block, kept = self.blocks[layer], keep.under(f"blocks.{layer}")
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, x, around, kept, use_reentrant=False)
        return block(x, around, kept)

    def _rotary(self, start: int, end: int, positions: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor] | None:
        if self.spec.positions != "rotary":
            return None
        if positions is None:
            return self.tables.rotary(start, end, x.dtype, x.device)
        cosines, sines = self.tables.rotary(0, end, x.dtype, x.device)
        return cosines[positions], sines[positions]  # (batch, length, 1, rotated_width)

    def _bias(self, start: int, end: int, x: Tensor, present: Tensor | None, padding: Tensor | None) -> Tensor | None:
        """What is added to the scores, or None where the kernel's own causality (or nothing at all) is enough."""
        spec = self.spec
        if padding is not None:
            present = torch.arange(end, device=x.device) >= padding[:, None]  # (batch, keys)
        windowed = spec.window is not None and spec.window < end
        continues = spec.causal and 0 < start < end - 1
        if not (windowed or continues or spec.positions in ("alibi", "relative") or present is not None):
            return None
        bias = self.tables.bias(start, end, x.dtype, x.device)  # (heads or 1, length, keys)
        if self.relative_positions is not None:
            bias = bias + self.relative_positions(start, end).to(x.dtype)  # (heads, length, keys)
        if present is None:
            return bias[None]  # of three dimensions the fused kernel takes none, and a step would hold all scores
        # A token always sees itself, so that a row of padding has something to average and yields no NaN.
        itself = torch.arange(start, end, device=x.device)[:, None] == torch.arange(end, device=x.device)
        seen = present.bool()[:, None, None, :] | itself  # (batch, 1, length, keys)
        return torch.where(seen, bias, -torch.inf)  # (batch, heads or 1, length, keys)

    def _check_room(self, end: int, cache: Cache | None) -> None:
        limit = self.spec.context if cache is None else min(self.spec.context, cache.capacity)
        if end > limit:
            raise BadInput(
                f"{end} tokens were given at once, and there is room for {limit}.",
                f"Give at most {limit} tokens, or choose a model with a longer context.",
            )
