"""One block: attention moves information between tokens, the feed-forward network works on each alone."""

from __future__ import annotations

from glassbox.engines.arrays.attention import Attention, Surroundings
from glassbox.engines.arrays.cross_attention import CrossAttention
from glassbox.engines.arrays.experts import MixtureOfExperts
from glassbox.engines.arrays.feedforward import feedforward
from glassbox.engines.arrays.normalization import norm
from glassbox.engines.arrays.parameters import Array, Scope
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Block:
    """Attention and feed-forward, each added to the stream; the placement says where its norms stand.

    pre:      x + part(norm(x))                     GPT-2, Llama
    post:     norm(x + part(x))                     the original transformer, BERT
    sandwich: x + output_norm(part(norm(x)))        CogView, Gemma 2
    parallel: x + attention(norm(x)) + feedforward(norm'(x))    GPT-J, NeoX

    In the decoder of an encoder-decoder cross-attention stands between the two, with norms of its own.

    In the backward pass an addition hands its gradient to both sides: to the part, and past it.
    """

    def __init__(self, spec: ModelSpec, layer: int, parameters: Scope) -> None:
        self.placement = spec.norm_placement
        self.parallel = spec.parallel_residual
        self.attention_norm = norm(spec, parameters.under("attention_norm"))
        self.attention = Attention(spec, layer, parameters.under("attention"))
        self.cross_attention = None
        if spec.kind == "encoder-decoder":
            self.cross_attention = CrossAttention(spec, layer, parameters.under("cross_attention"))
            self.cross_attention_norm = norm(spec, parameters.under("cross_attention_norm"))
            if spec.norm_placement == "sandwich":
                self.cross_attention_output_norm = norm(spec, parameters.under("cross_attention_output_norm"))
        self.feedforward_norm = norm(spec, parameters.under("feedforward_norm"))
        network = MixtureOfExperts if spec.has_experts(layer) else feedforward
        self.feedforward = network(spec, parameters.under("feedforward"))
        if spec.norm_placement == "sandwich":
            self.attention_output_norm = norm(spec, parameters.under("attention_output_norm"))
            self.feedforward_output_norm = norm(spec, parameters.under("feedforward_output_norm"))

    def forward(self, x: Array, around: Surroundings, keep: Keep) -> Array:
        """(batch * length, width) -> the same."""
        if self.parallel:
            attended = self._attention(x, around, keep)
            x = x + attended + self._feedforward(x, around, keep)
        else:
            x = x + self._attention(x, around, keep)
            keep("attention_residual", x)
            if self.placement == "post":
                x = self.attention_norm.forward(x, keep.under("attention_norm"))
            if self.cross_attention is not None:
                x = x + self._cross_attention(self.cross_attention, x, around, keep)
                keep("cross_attention_residual", x)
                if self.placement == "post":
                    x = self.cross_attention_norm.forward(x, keep.under("cross_attention_norm"))
            x = x + self._feedforward(x, around, keep)
            if self.placement == "post":
                x = self.feedforward_norm.forward(x, keep.under("feedforward_norm"))
        keep("residual", x)
        return x

    def backward(self, d_x: Array) -> Array:
        """(batch * length, width) -> the same: the forward pass's lines in reverse."""
        if self.parallel:
            return d_x + self._feedforward_backward(d_x) + self._attention_backward(d_x)
        if self.placement == "post":
            d_x = self.feedforward_norm.backward(d_x)
        d_x = d_x + self._feedforward_backward(d_x)
        if self.cross_attention is not None:
            if self.placement == "post":
                d_x = self.cross_attention_norm.backward(d_x)
            d_x = d_x + self._cross_attention_backward(self.cross_attention, d_x)
        if self.placement == "post":
            d_x = self.attention_norm.backward(d_x)
        return d_x + self._attention_backward(d_x)

    def _attention(self, x: Array, around: Surroundings, keep: Keep) -> Array:
        """What attention adds to the stream."""
        if self.placement != "post":
            x = self.attention_norm.forward(x, keep.under("attention_norm"))
        x = self.attention.forward(x, around, keep.under("attention"))
        if self.placement == "sandwich":
            x = self.attention_output_norm.forward(x, keep.under("attention_output_norm"))
        return x

    def _attention_backward(self, d_x: Array) -> Array:
        if self.placement == "sandwich":
            d_x = self.attention_output_norm.backward(d_x)
        d_x = self.attention.backward(d_x)
        return d_x if self.placement == "post" else self.attention_norm.backward(d_x)

    def _cross_attention(self, cross: CrossAttention, x: Array, around: Surroundings, keep: Keep) -> Array:
        """What cross-attention adds to the stream."""
        assert around.source is not None  # the network sees to it
        if self.placement != "post":
            x = self.cross_attention_norm.forward(x, keep.under("cross_attention_norm"))
        x = cross.forward(x, around.source, keep.under("cross_attention"))
        if self.placement == "sandwich":
            x = self.cross_attention_output_norm.forward(x, keep.under("cross_attention_output_norm"))
        return x

    def _cross_attention_backward(self, cross: CrossAttention, d_x: Array) -> Array:
        if self.placement == "sandwich":
            d_x = self.cross_attention_output_norm.backward(d_x)
        d_x = cross.backward(d_x)
        return d_x if self.placement == "post" else self.cross_attention_norm.backward(d_x)

    def _feedforward(self, x: Array, around: Surroundings, keep: Keep) -> Array:
        """What the feed-forward network adds to the stream."""
        if self.placement != "post":
            x = self.feedforward_norm.forward(x, keep.under("feedforward_norm"))
        if isinstance(self.feedforward, MixtureOfExperts):
            x = self.feedforward.forward(x, around.present, keep.under("feedforward"))
        else:
            x = self.feedforward.forward(x, keep.under("feedforward"))
        if self.placement == "sandwich":
            x = self.feedforward_output_norm.forward(x, keep.under("feedforward_output_norm"))
        return x

    def _feedforward_backward(self, d_x: Array) -> Array:
        if self.placement == "sandwich":
            d_x = self.feedforward_output_norm.backward(d_x)
        d_x = self.feedforward.backward(d_x)
        return d_x if self.placement == "post" else self.feedforward_norm.backward(d_x)
