"""Cross-attention: every token that is written gathers from the tokens that were read."""

from __future__ import annotations

import numpy as np

from glassbox.engines.arrays.attention import product_by_group, softmax
from glassbox.engines.arrays.linear import linear, linear_backward
from glassbox.engines.arrays.normalization import HeadNorm
from glassbox.engines.arrays.parameters import Array, Scope
from glassbox.engines.arrays.source import Source
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class CrossAttention:
    """Queries from the decoder, keys and values from the encoder (Vaswani 2017, §3.2.3). Positions play no part."""

    def __init__(self, spec: ModelSpec, layer: int, parameters: Scope) -> None:
        self.layer = layer
        self.heads, self.key_value_heads, self.head_width = spec.heads, spec.key_value_heads, spec.head_width
        self.sharing = spec.heads // spec.key_value_heads  # heads that read the same keys and values
        self.scale = spec.score_scale
        self.query, self.query_bias = parameters["query"], parameters.get("query_bias")
        # One matrix product for both: rows of key, then value.
        self.key_value, self.key_value_bias = parameters["key_value"], parameters.get("key_value_bias")
        self.output, self.output_bias = parameters["output"], parameters.get("output_bias")
        self.query_norm = HeadNorm(spec, parameters.under("query_norm")) if spec.qk_norm else None
        self.key_norm = HeadNorm(spec, parameters.under("key_norm")) if spec.qk_norm else None

    def forward(self, x: Array, source: Source, keep: Keep) -> Array:
        """A = softmax(Q K^T scale + bias);  M = A V;  y = M W^T + b, with Q of x, K and V of what was read.

        (batch * length, width) -> the same.
        """
        self.x, self.source = x, source
        queries = linear(x, self.query, self.query_bias)
        queries = queries.reshape(source.batch, -1, self.heads, self.head_width)
        if self.query_norm is not None:
            keep("projected_queries", queries.swapaxes(1, 2))
            queries = self.query_norm.forward(queries)
        queries = queries.swapaxes(1, 2)  # (batch, heads, length, head_width)
        keep("queries", queries)
        if source.held is not None and self.layer in source.held:
            keys, values = source.held[self.layer]
        else:
            keys, values = self._project(keep)
            if source.held is not None:
                source.held[self.layer] = keys, values
        keep("keys", keys)
        keep("values", values)
        if self.sharing > 1:
            keys, values = keys.repeat(self.sharing, 1), values.repeat(self.sharing, 1)
        self.queries, self.keys, self.values = queries * self.scale, keys, values

        scores = self.queries @ keys.swapaxes(2, 3)  # (batch, heads, length, source_length)
        if source.bias is not None:
            scores += source.bias
        keep("scores", scores)
        self.weights = softmax(scores)
        keep("weights", self.weights)
        mixed = self.weights @ values  # (batch, heads, length, head_width)
        keep("mixed", mixed)
        self.mixed = mixed.swapaxes(1, 2).reshape(len(x), -1)
        output = linear(self.mixed, self.output, self.output_bias)  # (batch * length, width)
        keep("output", output)
        return output

    def backward(self, d_output: Array) -> Array:
        """As `Attention.backward`; what flows to keys and values is added to `source.d_encoded`."""
        d_mixed = linear_backward(d_output, self.mixed, self.output, self.output_bias)
        batch, heads, length, head_width = self.queries.shape
        d_mixed = d_mixed.reshape(batch, length, heads, head_width).swapaxes(1, 2)
        d_weights = d_mixed @ self.values.swapaxes(2, 3)  # (batch, heads, length, source_length)
        d_scores = self.weights * (d_weights - np.vecdot(d_weights, self.weights)[..., None])

        source_length = self.keys.shape[2]
        d_joint = np.empty((batch, source_length, 2 * self.key_value_heads, head_width), d_output.dtype)
        d_keys, d_values = np.split(d_joint, 2, 2)  # views, each (batch, source_length, key_value_heads, head_width)
        product_by_group(d_scores, self.queries, d_keys.swapaxes(1, 2))
        product_by_group(self.weights, d_mixed, d_values.swapaxes(1, 2))
        if self.key_norm is not None:
            d_keys[...] = self.key_norm.backward(d_keys)
        d_joint = d_joint.reshape(batch * source_length, -1)
        encoded = self.source.encoded
        self.source.d_encoded += linear_backward(d_joint, encoded, self.key_value, self.key_value_bias)

        d_queries = (d_scores @ self.keys * self.scale).swapaxes(1, 2)  # (batch, length, heads, head_width)
        if self.query_norm is not None:
            d_queries = self.query_norm.backward(d_queries)
        return linear_backward(d_queries.reshape(len(self.x), -1), self.x, self.query, self.query_bias)

    def _project(self, keep: Keep) -> tuple[Array, Array]:
        """Keys and values of what was read, each (batch, key_value_heads, source_length, head_width)."""
        joint = linear(self.source.encoded, self.key_value, self.key_value_bias)
        joint = joint.reshape(self.source.batch, -1, 2 * self.key_value_heads, self.head_width)
        keys, values = np.split(joint, 2, 2)
        if self.key_norm is not None:
            keep("projected_keys", keys.swapaxes(1, 2))
            keys = self.key_norm.forward(keys)
        return keys.swapaxes(1, 2), values.swapaxes(1, 2)
