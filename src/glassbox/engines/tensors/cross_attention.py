"""Cross-attention: every token that is written gathers from the tokens that were read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.tensors.attention import HeadNorm
from glassbox.engines.tensors.linear import linear
from glassbox.engines.tensors.source import Source
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class CrossAttention(nn.Module):
    """Queries from the decoder, keys and values from the encoder (Vaswani 2017, §3.2.3). Positions play no part."""

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.key_value_heads, self.head_width = spec.heads, spec.key_value_heads, spec.head_width
        self.scale = spec.score_scale
        queries, keys = self.heads * self.head_width, self.key_value_heads * self.head_width
        has_biases = spec.attention_bias != "none"
        self.query = nn.Parameter(torch.empty(queries, spec.width))
        self.query_bias = nn.Parameter(torch.empty(queries)) if has_biases else None
        self.key_value = nn.Parameter(torch.empty(2 * keys, spec.width))  # `transformer.FUSED`
        self.key_value_bias = nn.Parameter(torch.empty(2 * keys)) if has_biases else None
        self.output = nn.Parameter(torch.empty(spec.width, queries))
        self.output_bias = nn.Parameter(torch.empty(spec.width)) if spec.attention_bias == "all" else None
        self.query_norm = HeadNorm(spec) if spec.qk_norm else None
        self.key_norm = HeadNorm(spec) if spec.qk_norm else None

    def forward(self, x: Tensor, source: Source, dropout: float, keep: Keep) -> Tensor:
        """(batch, length, width) -> the same."""
        queries = linear(x, self.query, self.query_bias).unflatten(2, (self.heads, self.head_width))
        if self.query_norm is not None:
            keep("projected_queries", queries.transpose(1, 2))
            queries = self.query_norm(queries)
        queries = queries.transpose(1, 2)  # (batch, heads, length, head_width)
        if source.held is not None and self.layer in source.held:
            keys, values = source.held[self.layer]
        else:
            keys, values = self._project(source.encoded, keep)
            if source.held is not None:
                source.held[self.layer] = keys, values = keys.contiguous(), values.contiguous()
        keep("queries", queries)
        keep("keys", keys)
        keep("values", values)
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=source.bias,
            dropout_p=dropout,
            scale=self.scale,
            enable_gqa=self.key_value_heads != self.heads,
        )  # (batch, heads, length, head_width)
        if keep.wants("scores") or keep.wants("weights"):
            self._explain(queries, keys, source, keep)
        keep("mixed", mixed)
        output = linear(mixed.transpose(1, 2).flatten(2), self.output, self.output_bias)  # (batch, length, width)
        keep("output", output)
        return output

    def _project(self, encoded: Tensor, keep: Keep) -> tuple[Tensor, Tensor]:
        """(batch, source_length, width) -> keys, values, each (batch, key_value_heads, source_length, head_width)."""
        joint = linear(encoded, self.key_value, self.key_value_bias)
        keys, values = joint.unflatten(2, (-1, self.head_width)).chunk(2, 2)
        if self.key_norm is not None:
            keep("projected_keys", keys.transpose(1, 2))
            keys = self.key_norm(keys)
        return keys.transpose(1, 2), values.transpose(1, 2)

    def _explain(self, queries: Tensor, keys: Tensor, source: Source, keep: Keep) -> None:
        """The scores and weights that the fused kernel never holds, computed openly."""
        keys = keys.repeat_interleave(self.heads // self.key_value_heads, 1)
        scores = queries @ keys.transpose(2, 3) * self.scale  # (batch, heads, length, source_length)
        if source.bias is not None:
            scores = scores + source.bias
        keep("scores", scores)
        keep("weights", scores.softmax(-1))
