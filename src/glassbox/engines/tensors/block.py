"""One block: attention moves information between tokens, the feed-forward network works on each alone."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.tensors.attention import Attention, Surroundings
from glassbox.engines.tensors.cross_attention import CrossAttention
from glassbox.engines.tensors.experts import MixtureOfExperts
from glassbox.engines.tensors.feedforward import feedforward
from glassbox.engines.tensors.normalization import Unchanged, norm
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Block(nn.Module):
    """Attention and feed-forward, each added to the stream; the placement says where its norms stand.

    pre:      x + part(norm(x))                     GPT-2, Llama
    post:     norm(x + part(x))                     the original transformer, BERT
    sandwich: x + output_norm(part(norm(x)))        CogView, Gemma 2
    parallel: x + attention(norm(x)) + feedforward(norm'(x))    GPT-J, NeoX

    In the decoder of an encoder-decoder cross-attention stands between the two, with norms of its own.
    """

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.placement = spec.norm_placement
        self.parallel = spec.parallel_residual
        self.attention_norm = norm(spec)
        self.attention = Attention(spec, layer)
        self.cross_attention = CrossAttention(spec, layer) if spec.kind == "encoder-decoder" else None
        self.cross_attention_norm = norm(spec) if spec.kind == "encoder-decoder" else Unchanged()
        self.feedforward_norm = norm(spec)
        has_experts = spec.has_experts(layer)
        self.feedforward = MixtureOfExperts(spec) if has_experts else feedforward(spec, spec.hidden_width)
        if spec.norm_placement == "sandwich":
            self.attention_output_norm = norm(spec)
            self.feedforward_output_norm = norm(spec)
            if self.cross_attention is not None:
                self.cross_attention_output_norm = norm(spec)

    def forward(self, x: Tensor, around: Surroundings, keep: Keep) -> Tensor:
        """(batch, length, width) -> the same, or (batch, 1, width) of the last tokens."""
        attended = self._attention(x, around, keep)
        if around.last_only:
            x = x[:, -1:]
        if self.parallel:
            x = x + attended + self._feedforward(x, around, keep)
        else:
            x = x + attended
            keep("attention_residual", x)
            if self.placement == "post":
                x = self.attention_norm(x, keep.under("attention_norm"))
            if self.cross_attention is not None:
                x = x + self._cross_attention(self.cross_attention, x, around, keep)
                keep("cross_attention_residual", x)
                if self.placement == "post":
                    x = self.cross_attention_norm(x, keep.under("cross_attention_norm"))
            x = x + self._feedforward(x, around, keep)
            if self.placement == "post":
                x = self.feedforward_norm(x, keep.under("feedforward_norm"))
        keep("residual", x)
        return x

    def _attention(self, x: Tensor, around: Surroundings, keep: Keep) -> Tensor:
        """What attention adds to the stream."""
        if self.placement != "post":
            x = self.attention_norm(x, keep.under("attention_norm"))
        x = self.attention(x, around, keep.under("attention"))
        if self.placement == "sandwich":
            x = self.attention_output_norm(x, keep.under("attention_output_norm"))
        return F.dropout(x, around.dropout) if around.dropout else x

    def _cross_attention(self, cross: CrossAttention, x: Tensor, around: Surroundings, keep: Keep) -> Tensor:
        """What cross-attention adds to the stream."""
        assert around.source is not None  # the model sees to it
        if self.placement != "post":
            x = self.cross_attention_norm(x, keep.under("cross_attention_norm"))
        x = cross(x, around.source, around.dropout, keep.under("cross_attention"))
        if self.placement == "sandwich":
            x = self.cross_attention_output_norm(x, keep.under("cross_attention_output_norm"))
        return F.dropout(x, around.dropout) if around.dropout else x

    def _feedforward(self, x: Tensor, around: Surroundings, keep: Keep) -> Tensor:
        """What the feed-forward network adds to the stream."""
        if self.placement != "post":
            x = self.feedforward_norm(x, keep.under("feedforward_norm"))
        if isinstance(self.feedforward, MixtureOfExperts):
            x = self.feedforward(x, keep.under("feedforward"), around.present, around.balances)
        else:
            x = self.feedforward(x, keep.under("feedforward"))
        if self.placement == "sandwich":
            x = self.feedforward_output_norm(x, keep.under("feedforward_output_norm"))
        return F.dropout(x, around.dropout) if around.dropout else x
