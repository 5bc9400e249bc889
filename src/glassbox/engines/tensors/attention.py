"""Attention: every token gathers from the tokens that it may see, weighted by how well its query fits their keys."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.linear import linear
from glassbox.engines.tensors.positions import rotate
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec

if TYPE_CHECKING:
    from glassbox.engines.tensors.source import Source


@dataclass(slots=True)
class Surroundings:
    """What the blocks of one forward pass share: who is there, where, and who may look at whom.

    tokens: ids, (batch, length).
    rotary: cosines and signed sines, each broadcast to (batch, length, heads, rotated_width).
    bias:   added to the scores, broadcast to (batch, heads, length, keys); -inf where a token must not look.
    causal: no bias is needed but a token must not look ahead, which the kernel knows how to do alone.
    present: (batch, length), which tokens are no padding; None when all are there.
    balances: gets the load-balancing loss of each layer with experts; None when nobody asks.
    source: what the encoder has read, for cross-attention.
    last_only: nobody reads a block's stream but the last token's, (batch, 1, width); see `of_last_token`.
    """

    tokens: Tensor
    rotary: tuple[Tensor, Tensor] | None
    bias: Tensor | None
    causal: bool
    cache: Cache | None
    dropout: float
    present: Tensor | None
    balances: list[Tensor] | None
    source: Source | None
    last_only: bool = False

    def of_last_token(self) -> Surroundings:
        """The same for a last block of which only the last token's stream is wanted: it looks at all that are there.

        The others give their keys and values, and nothing more is computed of them.
        """
        bias = None if self.bias is None else self.bias[..., -1:, :]
        present = None if self.present is None else self.present[:, -1:]
        return replace(self, bias=bias, causal=False, present=present, last_only=True)


class Attention(nn.Module):
    """Multi-head attention (Vaswani 2017, §3.2), heads sharing keys and values in groups (Ainslie 2023) if asked."""

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.key_value_heads, self.head_width = spec.heads, spec.key_value_heads, spec.head_width
        self.scale = spec.score_scale
        self.epsilon = spec.norm_epsilon
        self.qk_norm = spec.qk_norm
        # One matrix product for all three: rows of query, then key, then value (`transformer.FUSED`).
        rows = (self.heads + 2 * self.key_value_heads) * self.head_width
        self.query_key_value = nn.Parameter(torch.empty(rows, spec.width))
        self.query_key_value_bias = nn.Parameter(torch.empty(rows)) if spec.attention_bias != "none" else None
        self.output = nn.Parameter(torch.empty(spec.width, self.heads * self.head_width))
        self.output_bias = nn.Parameter(torch.empty(spec.width)) if spec.attention_bias == "all" else None
        if spec.qk_norm:
            self.query_norm = HeadNorm(spec)
            self.key_norm = HeadNorm(spec)
        self.value_embedding = None
        if spec.has_value_embedding(layer):
            self.value_embedding = nn.Parameter(
                torch.empty(spec.vocabulary_size, self.key_value_heads * self.head_width)
            )

    def forward(self, x: Tensor, around: Surroundings, keep: Keep) -> Tensor:
        """(batch, length, width) -> the same, or (batch, 1, width) of the last tokens."""
        queries, keys, values = self._project(x, around, keep)
        if around.last_only:
            queries = queries[:, :, -1:]
        if around.cache is not None:
            keys, values = around.cache.extend(self.layer, keys, values)
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=around.bias,
            is_causal=around.causal,
            dropout_p=around.dropout,
            scale=self.scale,
            enable_gqa=self.key_value_heads != self.heads,
        )  # (batch, heads, length, head_width)
        if keep.wants("scores") or keep.wants("weights"):
            self._explain(queries, keys, around, keep)
        keep("mixed", mixed)
        output = linear(mixed.transpose(1, 2).flatten(2), self.output, self.output_bias)  # (batch, length, width)
        keep("output", output)
        return output

    def _project(self, x: Tensor, around: Surroundings, keep: Keep) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, length, width) -> queries, keys, values, each (batch, its heads, length, head_width)."""
        batch, length, _ = x.shape
        joint = linear(x, self.query_key_value, self.query_key_value_bias)
        joint = joint.view(batch, length, -1, self.head_width)  # (batch, length, heads of all three, head_width)
        turning = self.heads + self.key_value_heads
        values = joint[:, :, turning:]
        if self.value_embedding is not None:
            values = values + F.embedding(around.tokens, self.value_embedding).view_as(values)
        turned = joint[:, :, :turning]
        if self.qk_norm or around.rotary is not None:
            keep("projected_queries", turned[:, :, : self.heads].transpose(1, 2))
            keep("projected_keys", turned[:, :, self.heads :].transpose(1, 2))
        if self.qk_norm:
            queries, keys = turned.split((self.heads, self.key_value_heads), 2)
            turned = torch.cat((self.query_norm(queries), self.key_norm(keys)), 2)
        if around.rotary is not None:
            turned = rotate(turned, *around.rotary)
        queries, keys = turned.transpose(1, 2).split((self.heads, self.key_value_heads), 1)
        values = values.transpose(1, 2)
        keep("queries", queries)
        keep("keys", keys)
        keep("values", values)
        return queries, keys, values

    def _explain(self, queries: Tensor, keys: Tensor, around: Surroundings, keep: Keep) -> None:
        """The scores and weights that the fused kernel never holds, computed openly."""
        if self.heads != self.key_value_heads:
            keys = keys.repeat_interleave(self.heads // self.key_value_heads, 1)
        if around.causal:  # product, scale and mask in one pass: half of the time of one after the other
            ahead = queries.new_full((queries.shape[2], keys.shape[2]), -math.inf).triu_(1)  # (length, keys)
            flat = torch.baddbmm(ahead, queries.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2), alpha=self.scale)
            scores = flat.unflatten(0, (-1, self.heads))  # (batch, heads, length, keys)
        else:
            scores = queries @ keys.transpose(2, 3) * self.scale
            scores = scores if around.bias is None else scores + around.bias
        keep("scores", scores)
        keep("weights", scores.softmax(-1))


class HeadNorm(nn.Module):
    """RMSNorm of one head's queries or keys (Henry et al. 2020; gain as in Qwen 3)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.shape = (spec.head_width,)
        self.epsilon = spec.norm_epsilon
        self.gain = nn.Parameter(torch.empty(spec.head_width)) if spec.norm_gain else None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, heads, head_width) -> the same."""
        return F.rms_norm(x, self.shape, self.gain, self.epsilon)
