"""One block: attention moves information between tokens, the feed-forward network works on each alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from glassbox.engines.lists.attention import Attention, Surroundings
from glassbox.engines.lists.cross_attention import CrossAttention
from glassbox.engines.lists.experts import MixtureOfExperts
from glassbox.engines.lists.feedforward import FeedForward, GatedFeedForward
from glassbox.engines.lists.linear import added
from glassbox.engines.lists.normalization import NormSaved, norm
from glassbox.engines.lists.parameters import Matrix, Parameters, Vector
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class PartSaved(NamedTuple):
    """What the backward pass of one part with the norms before and after it needs of forward."""

    norm: NormSaved
    part: Any
    output_norm: NormSaved


class Block:
    """Attention and feed-forward, each added to the stream; the placement says where its norms stand.

    pre:      x + part(norm(x))                     GPT-2, Llama
    post:     norm(x + part(x))                     the original transformer, BERT
    sandwich: x + output_norm(part(norm(x)))        CogView, Gemma 2
    parallel: x + attention(norm(x)) + feedforward(norm'(x))    GPT-J, NeoX

    In the decoder of an encoder-decoder cross-attention stands between the two, with norms of its own.
    """

    class Saved(NamedTuple):
        """What backward needs of forward."""

        attention: PartSaved
        feedforward: PartSaved
        norm_after_attention: NormSaved  # with norms placed `post`
        norm_after_feedforward: NormSaved
        cross_attention: PartSaved | None = None
        norm_after_cross_attention: NormSaved = []  # noqa: RUF012  (never written into)

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
        self.feedforward: Any = network(spec, parameters.under("feedforward"))
        if spec.norm_placement == "sandwich":
            self.attention_output_norm = norm(spec, parameters.under("attention_output_norm"))
            self.feedforward_output_norm = norm(spec, parameters.under("feedforward_output_norm"))

    def forward(self, x: Matrix, around: Surroundings, keep: Keep) -> tuple[Matrix, Saved]:
        """(length, width) -> the same."""
        after_attention: NormSaved = []
        after_cross: NormSaved = []
        cross_attention: PartSaved | None = None
        after_feedforward: NormSaved = []
        attended, attention = self._attention(x, around, keep)
        if self.parallel:
            fed, feedforward = self._feedforward(x, around, keep)
            x = added(added(x, attended), fed)
        else:
            x = added(x, attended)
            keep("attention_residual", x)
            if self.placement == "post":
                x, after_attention = self.attention_norm.forward(x, keep.under("attention_norm"))
            if self.cross_attention is not None:
                crossed, cross_attention = self._cross_attention(self.cross_attention, x, around, keep)
                x = added(x, crossed)
                keep("cross_attention_residual", x)
                if self.placement == "post":
                    x, after_cross = self.cross_attention_norm.forward(x, keep.under("cross_attention_norm"))
            fed, feedforward = self._feedforward(x, around, keep)
            x = added(x, fed)
            if self.placement == "post":
                x, after_feedforward = self.feedforward_norm.forward(x, keep.under("feedforward_norm"))
        keep("residual", x)
        return x, self.Saved(attention, feedforward, after_attention, after_feedforward, cross_attention, after_cross)

    def backward(self, d_x: Matrix, saved: Saved, around: Surroundings, pull: Vector | None = None) -> Matrix:
        """y = x + part(x) gives dx = dy + part'(dy): the stream hands on its gradient, and each part adds to it.

        pull: how the load-balancing loss grows with a token's probabilities, (experts,); None without experts.
        """
        if self.parallel:
            attended = self._attention_backward(d_x, saved.attention, around)
            return added(added(d_x, attended), self._feedforward_backward(d_x, saved.feedforward, pull))
        if self.placement == "post":
            d_x = self.feedforward_norm.backward(d_x, saved.norm_after_feedforward)
        d_x = added(d_x, self._feedforward_backward(d_x, saved.feedforward, pull))
        if self.cross_attention is not None and saved.cross_attention is not None:
            if self.placement == "post":
                d_x = self.cross_attention_norm.backward(d_x, saved.norm_after_cross_attention)
            crossed = self._cross_attention_backward(self.cross_attention, d_x, saved.cross_attention, around)
            d_x = added(d_x, crossed)
        if self.placement == "post":
            d_x = self.attention_norm.backward(d_x, saved.norm_after_attention)
        return added(d_x, self._attention_backward(d_x, saved.attention, around))

    def _attention(self, x: Matrix, around: Surroundings, keep: Keep) -> tuple[Matrix, PartSaved]:
        """What attention adds to the stream."""
        before: NormSaved = []
        after: NormSaved = []
        if self.placement != "post":
            x, before = self.attention_norm.forward(x, keep.under("attention_norm"))
        x, part = self.attention.forward(x, around, keep.under("attention"))
        if self.placement == "sandwich":
            x, after = self.attention_output_norm.forward(x, keep.under("attention_output_norm"))
        return x, PartSaved(before, part, after)

    def _attention_backward(self, d_x: Matrix, saved: PartSaved, around: Surroundings) -> Matrix:
        if self.placement == "sandwich":
            d_x = self.attention_output_norm.backward(d_x, saved.output_norm)
        d_x = self.attention.backward(d_x, saved.part, around)
        return d_x if self.placement == "post" else self.attention_norm.backward(d_x, saved.norm)

    def _cross_attention(
        self, cross: CrossAttention, x: Matrix, around: Surroundings, keep: Keep
    ) -> tuple[Matrix, PartSaved]:
        """What cross-attention adds to the stream."""
        before: NormSaved = []
        after: NormSaved = []
        if self.placement != "post":
            x, before = self.cross_attention_norm.forward(x, keep.under("cross_attention_norm"))
        x, part = cross.forward(x, around, keep.under("cross_attention"))
        if self.placement == "sandwich":
            x, after = self.cross_attention_output_norm.forward(x, keep.under("cross_attention_output_norm"))
        return x, PartSaved(before, part, after)

    def _cross_attention_backward(
        self, cross: CrossAttention, d_x: Matrix, saved: PartSaved, around: Surroundings
    ) -> Matrix:
        if self.placement == "sandwich":
            d_x = self.cross_attention_output_norm.backward(d_x, saved.output_norm)
        d_x = cross.backward(d_x, saved.part, around)
        return d_x if self.placement == "post" else self.cross_attention_norm.backward(d_x, saved.norm)

    def _feedforward(self, x: Matrix, around: Surroundings, keep: Keep) -> tuple[Matrix, PartSaved]:
        """What the feed-forward network adds to the stream."""
        before: NormSaved = []
        after: NormSaved = []
        if self.placement != "post":
            x, before = self.feedforward_norm.forward(x, keep.under("feedforward_norm"))
        if isinstance(self.feedforward, MixtureOfExperts):
            x, part = self.feedforward.forward(x, around.present, keep.under("feedforward"))
        else:
            x, part = self.feedforward.forward(x, keep.under("feedforward"))
        if self.placement == "sandwich":
            x, after = self.feedforward_output_norm.forward(x, keep.under("feedforward_output_norm"))
        return x, PartSaved(before, part, after)

    def _feedforward_backward(self, d_x: Matrix, saved: PartSaved, pull: Vector | None) -> Matrix:
        if self.placement == "sandwich":
            d_x = self.feedforward_output_norm.backward(d_x, saved.output_norm)
        if isinstance(self.feedforward, MixtureOfExperts):
            d_x = self.feedforward.backward(d_x, saved.part, pull)
        else:
            d_x = self.feedforward.backward(d_x, saved.part)
        return d_x if self.placement == "post" else self.feedforward_norm.backward(d_x, saved.norm)
