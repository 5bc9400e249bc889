"""One block: attention moves information between tokens, the feed-forward network works on each alone."""

from __future__ import annotations

from glassbox.engines.scalars.attention import Attention, Surroundings
from glassbox.engines.scalars.cross_attention import CrossAttention
from glassbox.engines.scalars.experts import MixtureOfExperts
from glassbox.engines.scalars.feedforward import FeedForward, GatedFeedForward
from glassbox.engines.scalars.linear import added
from glassbox.engines.scalars.normalization import norm
from glassbox.engines.scalars.parameters import Parameters
from glassbox.engines.scalars.value import Matrix
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Block:
    """Attention and feed-forward, each added to the stream; the placement says where its norms stand.

    pre:      x + part(norm(x))                     GPT-2, Llama
    post:     norm(x + part(x))                     the original transformer, BERT
    sandwich: x + output_norm(part(norm(x)))        CogView, Gemma 2
    parallel: x + attention(norm(x)) + feedforward(norm'(x))    GPT-J, NeoX

    In the decoder of an encoder-decoder cross-attention stands between the two, with norms of its own.
    """

    def __init__(self, spec: ModelSpec, layer: int, parameters: Parameters) -> None:
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
        network = GatedFeedForward if spec.gated else FeedForward
        if spec.has_experts(layer):
            network = MixtureOfExperts
        self.feedforward = network(spec, parameters.under("feedforward"))
        if spec.norm_placement == "sandwich":
            self.attention_output_norm = norm(spec, parameters.under("attention_output_norm"))
            self.feedforward_output_norm = norm(spec, parameters.under("feedforward_output_norm"))

    def forward(self, x: Matrix, around: Surroundings, keep: Keep) -> Matrix:
        """(length, width) -> the same."""
        if self.parallel:
            attended = self._attention(x, around, keep)
            x = added(added(x, attended), self._feedforward(x, around, keep))
        else:
            x = added(x, self._attention(x, around, keep))
            keep("attention_residual", x)
            if self.placement == "post":
                x = self.attention_norm.forward(x, keep.under("attention_norm"))
            if self.cross_attention is not None:
                x = added(x, self._cross_attention(self.cross_attention, x, around, keep))
                keep("cross_attention_residual", x)
                if self.placement == "post":
                    x = self.cross_attention_norm.forward(x, keep.under("cross_attention_norm"))
            x = added(x, self._feedforward(x, around, keep))
            if self.placement == "post":
                x = self.feedforward_norm.forward(x, keep.under("feedforward_norm"))
        keep("residual", x)
        return x

    def _attention(self, x: Matrix, around: Surroundings, keep: Keep) -> Matrix:
        """What attention adds to the stream."""
        if self.placement != "post":
            x = self.attention_norm.forward(x, keep.under("attention_norm"))
        x = self.attention.forward(x, around, keep.under("attention"))
        if self.placement == "sandwich":
            x = self.attention_output_norm.forward(x, keep.under("attention_output_norm"))
        return x

    def _cross_attention(self, cross: CrossAttention, x: Matrix, around: Surroundings, keep: Keep) -> Matrix:
        """What cross-attention adds to the stream."""
        if self.placement != "post":
            x = self.cross_attention_norm.forward(x, keep.under("cross_attention_norm"))
        x = cross.forward(x, around, keep.under("cross_attention"))
        if self.placement == "sandwich":
            x = self.cross_attention_output_norm.forward(x, keep.under("cross_attention_output_norm"))
        return x

    def _feedforward(self, x: Matrix, around: Surroundings, keep: Keep) -> Matrix:
        """What the feed-forward network adds to the stream."""
        if self.placement != "post":
            x = self.feedforward_norm.forward(x, keep.under("feedforward_norm"))
        if isinstance(self.feedforward, MixtureOfExperts):
            x = self.feedforward.forward(x, around, keep.under("feedforward"))
        else:
            x = self.feedforward.forward(x, keep.under("feedforward"))
        if self.placement == "sandwich":
            x = self.feedforward_output_norm.forward(x, keep.under("feedforward_output_norm"))
        return x
