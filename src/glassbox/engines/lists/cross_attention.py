"""Cross-attention: every token that is written gathers from the tokens that were read."""

from __future__ import annotations

from glassbox.engines.lists.attention import Attention, Surroundings, join, turned, turned_backward
from glassbox.engines.lists.linear import added, linear, linear_backward
from glassbox.engines.lists.parameters import Matrix
from glassbox.engines.lists.source import Source
from glassbox.engines.values import Keep


class CrossAttention(Attention):
    """Queries from the decoder, keys and values from the encoder (Vaswani 2017, §3.2.3). Positions play no part."""

    def forward(self, x: Matrix, around: Surroundings, keep: Keep) -> tuple[Matrix, Attention.Saved]:
        """y = join(softmax(scale · Q Kᵀ) V) Oᵀ, with Q of x, K and V of what was read: (length, width) -> the same"""
        source = around.source
        assert source is not None  # the model sees to it
        around = _without_positions(source, len(x))
        queries = self._split(linear(x, self.query, self.query_bias))  # (heads, length, head_width)
        if self.query_norm is not None:
            keep("projected_queries", queries)
        queries, query_norms = turned(queries, around, self.query_norm)
        keep("queries", queries)
        if source.held is not None and self.layer in source.held:
            (keys, values), key_norms = source.held[self.layer], []
        else:
            keys = self._split(linear(source.encoded, self.key, self.key_bias))
            values = self._split(linear(source.encoded, self.value, self.value_bias))
            if self.key_norm is not None:
                keep("projected_keys", keys)
            keys, key_norms = turned(keys, around, self.key_norm)  # (key_value_heads, source_length, head_width)
            if source.held is not None:
                source.held[self.layer] = keys, values
        keep("keys", keys)
        keep("values", values)
        output, joined, weights = self._gather(queries, keys, values, around, keep)
        return output, self.Saved(x, query_norms, key_norms, queries, keys, values, weights, joined)

    def backward(self, d_output: Matrix, saved: Attention.Saved, around: Surroundings) -> Matrix:
        """The chain above, from its end; what flows to keys and values is added to `source.d_encoded`."""
        source = around.source
        assert source is not None
        around = _without_positions(source, len(saved.x))
        d_queries, d_keys, d_values = self._gather_backward(d_output, saved, around)
        d_key = join(turned_backward(d_keys, saved.key_norms, around, self.key_norm))
        for d_y, weight, bias in ((d_key, self.key, self.key_bias), (join(d_values), self.value, self.value_bias)):
            source.d_encoded = added(source.d_encoded, linear_backward(d_y, source.encoded, weight, bias))
        d_query = join(turned_backward(d_queries, saved.query_norms, around, self.query_norm))
        return linear_backward(d_query, saved.x, self.query, self.query_bias)


def _without_positions(source: Source, length: int) -> Surroundings:
    """Every token that is written looks at every token of the source that is there."""
    return Surroundings((), 0, turns=None, slopes=None, visible=[source.present] * length, cache=None)
