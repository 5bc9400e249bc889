"""Cross-attention: every token that is written gathers from the tokens that were read."""

from __future__ import annotations

from glassbox.engines.scalars.attention import Attention, Surroundings, turned
from glassbox.engines.scalars.linear import linear
from glassbox.engines.scalars.value import Matrix, forgotten
from glassbox.engines.values import Keep


class CrossAttention(Attention):
    """Queries from the decoder, keys and values from the encoder (Vaswani 2017, §3.2.3). Positions play no part."""

    def forward(self, x: Matrix, around: Surroundings, keep: Keep) -> Matrix:
        """y = join(softmax(scale · Q Kᵀ) V) Oᵀ, with Q of x, K and V of what was read: (length, width) -> the same"""
        source = around.source
        assert source is not None  # the model sees to it
        # Every token that is written looks at every token of the source that is there.
        around = Surroundings((), 0, turns=None, slopes=None, visible=[source.present] * len(x), cache=None)
        queries = self._split(linear(x, self.query, self.query_bias))  # (heads, length, head_width)
        if self.query_norm is not None:
            keep("projected_queries", queries)
        queries = turned(queries, around, self.query_norm)
        keep("queries", queries)
        if source.held is not None and self.layer in source.held:
            keys, values = source.held[self.layer]
        else:
            keys = self._split(linear(source.encoded, self.key, self.key_bias))
            values = self._split(linear(source.encoded, self.value, self.value_bias))
            if self.key_norm is not None:
                keep("projected_keys", keys)
            keys = turned(keys, around, self.key_norm)  # (key_value_heads, source_length, head_width)
            if source.held is not None:
                keys, values = ([list(map(forgotten, vectors)) for vectors in heads] for heads in (keys, values))
                source.held[self.layer] = keys, values
        keep("keys", keys)
        keep("values", values)
        return self._gather(queries, keys, values, around, keep)
