"""Attention: every token gathers from the tokens that it may see, weighted by how well its query fits their keys.

Notable: nothing is copied to bring heads to the front. Queries, keys and values stay where one matrix product put
them, (batch, length, heads, head_width), and the products over heads read and write through transposed views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.arrays.cache import Cache
from glassbox.engines.arrays.embedding import add_rows
from glassbox.engines.arrays.linear import linear, linear_backward
from glassbox.engines.arrays.normalization import HeadNorm
from glassbox.engines.arrays.parameters import Array, Scope, Tokens
from glassbox.engines.arrays.positions import rotate, rotate_backward
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec

if TYPE_CHECKING:
    from glassbox.engines.arrays.source import Source


@dataclass(slots=True)
class Surroundings:
    """What the blocks of one forward pass share: who is there, where, and who may look at whom.

    tokens: ids, (batch, length).
    rotary: cosines and sines, each (length, 1, rotated_width / 2).
    bias:   added to the scores, broadcast to (batch, heads, length, keys); -inf where a token must not look.
    present: (batch * length,), which tokens are no padding; None when all are there.
    d_relative: (heads, length, keys), gets the gradients of what relative positions add to the scores.
    source: what the encoder has read, for cross-attention.
    """

    tokens: Tokens
    rotary: tuple[Array, Array] | None
    bias: Array | None
    cache: Cache | None = None
    present: NDArray[np.bool_] | None = None
    d_relative: Array | None = None
    source: Source | None = None


class Attention:
    """Multi-head attention (Vaswani 2017, §3.2), heads sharing keys and values in groups (Ainslie 2023) if asked."""

    def __init__(self, spec: ModelSpec, layer: int, parameters: Scope) -> None:
        self.layer = layer
        self.heads, self.key_value_heads, self.head_width = spec.heads, spec.key_value_heads, spec.head_width
        self.sharing = spec.heads // spec.key_value_heads  # heads that read the same keys and values
        self.scale = spec.score_scale
        # One matrix product for all three: rows of query, then key, then value.
        self.query_key_value = parameters["query_key_value"]
        self.query_key_value_bias = parameters.get("query_key_value_bias")
        self.output, self.output_bias = parameters["output"], parameters.get("output_bias")
        self.query_norm = HeadNorm(spec, parameters.under("query_norm")) if spec.qk_norm else None
        self.key_norm = HeadNorm(spec, parameters.under("key_norm")) if spec.qk_norm else None
        self.value_embedding = parameters.get("value_embedding")

    def forward(self, x: Array, around: Surroundings, keep: Keep) -> Array:
        """A = softmax(Q K^T / sqrt(head_width) + bias);  M = A V;  y = M W^T + b.

        (batch * length, width) -> the same.
        """
        self.x, self.around = x, around
        queries, keys, values = self._project(x, keep)
        if around.cache is not None:
            keys, values = around.cache.extend(self.layer, keys, values)
        if self.sharing > 1:
            keys, values = keys.repeat(self.sharing, 1), values.repeat(self.sharing, 1)
        queries *= self.scale  # there are fewer queries than scores to scale
        self.queries, self.keys, self.values = queries, keys, values

        scores = queries @ keys.swapaxes(2, 3)  # (batch, heads, length, keys)
        if around.bias is not None:
            scores += around.bias
        keep("scores", scores)
        self.weights = softmax(scores)
        keep("weights", self.weights)
        batch, heads, length, head_width = queries.shape
        mixed = np.empty((batch, length, heads, head_width), x.dtype)
        np.matmul(self.weights, values, out=mixed.swapaxes(1, 2))
        keep("mixed", mixed.swapaxes(1, 2))
        self.mixed = mixed.reshape(batch * length, heads * head_width)
        output = linear(self.mixed, self.output, self.output_bias)  # (batch * length, width)
        keep("output", output)
        return output

    def backward(self, d_output: Array) -> Array:
        """With dM = dy W:  dV = A^T dM;  dA = dM V^T;  dS = A (dA - sum over keys of dA A);  dQ = dS K;  dK = dS^T Q.

        The sum in dS is the softmax's Jacobian, diag(A) - A A^T, applied to dA. It equals dM M summed over the head's
        channels, which are fewer numbers (Dao et al. 2022, appendix B.2).
        """
        d_mixed = linear_backward(d_output, self.mixed, self.output, self.output_bias)
        batch, heads, length, head_width = self.queries.shape
        by_head = (batch, length, heads, head_width)
        d_mixed = d_mixed.reshape(by_head)
        along = np.vecdot(d_mixed, self.mixed.reshape(by_head)).swapaxes(1, 2)  # (batch, heads, length)
        d_mixed = d_mixed.swapaxes(1, 2)
        d_scores = d_mixed @ self.values.swapaxes(2, 3)  # (batch, heads, length, keys)
        d_scores -= along[..., None]
        d_scores *= self.weights
        if self.around.d_relative is not None:
            self.around.d_relative += np.add.reduce(d_scores, 0)

        # The gradients of queries, keys and values side by side, as one matrix product made them.
        d_joint = np.empty((batch, length, heads + 2 * self.key_value_heads, head_width), d_output.dtype)
        d_queries, d_keys, d_values = self._parts(d_joint)
        np.matmul(d_scores, self.keys, out=d_queries)
        d_queries *= self.scale
        product_by_group(d_scores, self.queries, d_keys)
        product_by_group(self.weights, d_mixed, d_values)
        return self._project_backward(d_joint)

    def _project(self, x: Array, keep: Keep) -> tuple[Array, Array, Array]:
        """(batch * length, width) -> queries, keys, values, each (batch, its heads, length, head_width)."""
        around = self.around
        joint = linear(x, self.query_key_value, self.query_key_value_bias)
        joint = joint.reshape(*around.tokens.shape, -1, self.head_width)  # (batch, length, heads of all, head_width)
        turning = self.heads + self.key_value_heads
        if self.value_embedding is not None:
            values = joint[:, :, turning:]
            values += self.value_embedding.value.take(around.tokens, 0).reshape(values.shape)
        if self.query_norm is not None or around.rotary is not None:
            queries, keys, _ = self._parts(joint)
            keep("projected_queries", queries)
            keep("projected_keys", keys)
        if self.query_norm is not None and self.key_norm is not None:
            joint[:, :, : self.heads] = self.query_norm.forward(joint[:, :, : self.heads])
            joint[:, :, self.heads : turning] = self.key_norm.forward(joint[:, :, self.heads : turning])
        if around.rotary is not None:
            joint[:, :, :turning] = rotate(joint[:, :, :turning], *around.rotary)
        queries, keys, values = self._parts(joint)
        keep("queries", queries)
        keep("keys", keys)
        keep("values", values)
        return queries, keys, values

    def _project_backward(self, d_joint: Array) -> Array:
        """Back through rotation, norms and the joint product.

        (batch, length, heads of all, head_width) -> (batch * length, width)
        """
        around = self.around
        turning = self.heads + self.key_value_heads
        if around.rotary is not None:
            d_joint[:, :, :turning] = rotate_backward(d_joint[:, :, :turning], *around.rotary)
        if self.query_norm is not None and self.key_norm is not None:
            d_joint[:, :, : self.heads] = self.query_norm.backward(d_joint[:, :, : self.heads])
            d_joint[:, :, self.heads : turning] = self.key_norm.backward(d_joint[:, :, self.heads : turning])
        if self.value_embedding is not None:
            d_values = d_joint[:, :, turning:].reshape(len(self.x), -1)
            add_rows(self.value_embedding.gradient, around.tokens.reshape(-1), d_values)
        d_joint = d_joint.reshape(len(self.x), -1)
        return linear_backward(d_joint, self.x, self.query_key_value, self.query_key_value_bias)

    def _parts(self, joint: Array) -> tuple[Array, Array, Array]:
        """Views of queries, keys, values, each (batch, its heads, length, head_width)."""
        by_head = joint.swapaxes(1, 2)
        turning = self.heads + self.key_value_heads
        return by_head[:, : self.heads], by_head[:, self.heads : turning], by_head[:, turning:]


def product_by_group(of_scores: Array, of_queries: Array, out: Array) -> None:
    """out = of_scores^T of_queries, summed over the heads that share a key.

    (batch, heads, length, keys), (batch, heads, length, head_width) -> (batch, key_value_heads, keys, head_width)
    """
    if out.shape[1] == of_scores.shape[1]:
        np.matmul(of_scores.swapaxes(2, 3), of_queries, out=out)
        return
    each = of_scores.swapaxes(2, 3) @ of_queries  # (batch, heads, keys, head_width)
    batch, _, keys, head_width = each.shape
    each.reshape(batch, out.shape[1], -1, keys, head_width).sum(2, out=out)


def softmax(scores: Array) -> Array:
    """exp(s) / sum of exp(s) over the last axis, written over the scores.

    The largest is taken off first, which changes nothing but keeps exp from overflowing.
    """
    scores -= np.maximum.reduce(scores, -1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, -1, keepdims=True)
    return scores
