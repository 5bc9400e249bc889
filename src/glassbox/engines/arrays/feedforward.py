"""The feed-forward network: each token's vector widened, bent, and narrowed again, alone.

Notable: an activation and its slope share most of their arithmetic, so each function returns both, and the backward
pass is one multiplication.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from glassbox.engines.arrays.gaussian import tail_and_density
from glassbox.engines.arrays.linear import linear, linear_backward
from glassbox.engines.arrays.parameters import Array, Scope
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec
from glassbox.spec.model import Activation

CHUNK = 16_384  # numbers: half a dozen arrays of this many stay in a core's cache between one operation and the next


def relu(x: Array) -> tuple[Array, Array]:
    """max(x, 0), and 1 above zero, 0 elsewhere."""
    slope = (x > 0).astype(x.dtype)
    return x * slope, slope  # in half the time of np.maximum(x, 0)


def relu_squared(x: Array) -> tuple[Array, Array]:
    """max(x, 0)^2 (Primer, So et al. 2021, §4), and 2 max(x, 0)."""
    positive, _ = relu(x)
    return positive * positive, positive + positive


def gelu(x: Array) -> tuple[Array, Array]:
    """x Phi(x), with Phi the normal distribution (Hendrycks & Gimpel 2016), and Phi(x) + x phi(x), phi its density."""
    tail, density = tail_and_density(x)
    # Phi is the tail below zero and 1 - tail above.
    cdf = tail * -2
    cdf += 1
    cdf *= x > 0
    cdf += tail
    density *= x
    density += cdf
    return np.multiply(cdf, x, out=cdf), density


def gelu_tanh(x: Array) -> tuple[Array, Array]:
    """x h with h = (1 + tanh u) / 2, u = a (x + b x^3), a = sqrt(2 / pi), b = 0.044715 (same paper, §2; as in GPT-2).

    Slope: h + x h', and as 1 - tanh^2 u = 4 h (1 - h), h' = 2 h (1 - h) a (1 + 3 b x^2).
    """
    a, b = math.sqrt(2 / math.pi), 0.044715
    square = x * x
    h = square * (a * b)
    h += a
    h *= x
    np.tanh(h, out=h)
    h *= 0.5
    h += 0.5
    value = x * h
    slope = square  # in its place from here on
    slope *= 6 * a * b
    slope += 2 * a
    slope *= value
    slope *= 1 - h
    slope += h
    return value, slope


def silu(x: Array) -> tuple[Array, Array]:
    """x s with s = 1 / (1 + exp(-x)) (Elfwing et al. 2017), and s + x s (1 - s)."""
    s = x * 0.5
    np.tanh(s, out=s)  # s = (1 + tanh(x / 2)) / 2, and tanh overflows for no number
    s *= 0.5
    s += 0.5
    value = x * s
    slope = 1 - s
    slope *= value
    slope += s
    return value, slope


ACTIVATIONS: dict[Activation, Callable[[Array], tuple[Array, Array]]] = {
    "relu": relu,
    "relu_squared": relu_squared,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "swiglu": silu,
    "geglu": gelu,
    "geglu_tanh": gelu_tanh,
}


def bend(activation: Callable[[Array], tuple[Array, Array]], x: Array) -> tuple[Array, Array]:
    """The activation and its slope: (tokens, hidden_width) -> both of that shape, computed a chunk at a time."""
    rows = max(1, CHUNK // x.shape[1])
    if len(x) <= rows:
        return activation(x)
    value, slope = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    for start in range(0, len(x), rows):
        chunk = slice(start, start + rows)
        value[chunk], slope[chunk] = activation(x[chunk])
    return value, slope


class FeedForward:
    """down(activation(up(x)))"""

    def __init__(self, spec: ModelSpec, parameters: Scope) -> None:
        self.activation = ACTIVATIONS[spec.activation]
        self.up, self.up_bias = parameters["up"], parameters.get("up_bias")
        self.down, self.down_bias = parameters["down"], parameters.get("down_bias")

    def forward(self, x: Array, keep: Keep) -> Array:
        """u = x U^T;  h = f(u);  y = h D^T: (tokens, width) -> the same."""
        self.x = x
        up = linear(x, self.up, self.up_bias)  # (tokens, hidden_width)
        self.hidden, self.slope = bend(self.activation, up)
        keep("up", up)
        keep("hidden", self.hidden)
        output = linear(self.hidden, self.down, self.down_bias)  # (tokens, width)
        keep("output", output)
        return output

    def backward(self, d_output: Array) -> Array:
        """dh = dy D;  du = dh f'(u);  dx = du U: (tokens, width) -> the same."""
        d_up = linear_backward(d_output, self.hidden, self.down, self.down_bias)  # (tokens, hidden_width)
        d_up *= self.slope
        return linear_backward(d_up, self.x, self.up, self.up_bias)  # (tokens, width)


class GatedFeedForward:
    """down(activation(gate(x)) * up(x)), gate and up in one matrix product (Shazeer 2020)."""

    def __init__(self, spec: ModelSpec, parameters: Scope) -> None:
        self.activation = ACTIVATIONS[spec.activation]
        self.gate_up, self.gate_up_bias = parameters["gate_up"], parameters.get("gate_up_bias")
        self.down, self.down_bias = parameters["down"], parameters.get("down_bias")

    def forward(self, x: Array, keep: Keep) -> Array:
        """g = x G^T;  u = x U^T;  h = f(g) u;  y = h D^T: (tokens, width) -> the same."""
        self.x = x
        gate_up = linear(x, self.gate_up, self.gate_up_bias)
        gate, self.up = np.split(gate_up, 2, 1)  # views, each (tokens, hidden_width)
        self.opened, self.slope = bend(self.activation, gate)
        self.hidden = self.opened * self.up
        keep("gate", gate)
        keep("up", self.up)
        keep("hidden", self.hidden)
        output = linear(self.hidden, self.down, self.down_bias)  # (tokens, width)
        keep("output", output)
        return output

    def backward(self, d_output: Array) -> Array:
        """dh = dy D;  dg = dh u f'(g);  du = dh f(g);  dx = dg G + du U: (tokens, width) -> the same."""
        d_hidden = linear_backward(d_output, self.hidden, self.down, self.down_bias)  # (tokens, hidden_width)
        d_gate_up = np.empty((len(d_hidden), 2 * d_hidden.shape[1]), d_hidden.dtype)
        d_gate, d_up = np.split(d_gate_up, 2, 1)
        np.multiply(d_hidden, self.opened, out=d_up)
        np.multiply(d_hidden, self.up, out=d_gate)
        d_gate *= self.slope
        return linear_backward(d_gate_up, self.x, self.gate_up, self.gate_up_bias)  # (tokens, width)


def feedforward(spec: ModelSpec, parameters: Scope) -> FeedForward | GatedFeedForward:
    """The network that the spec's activation asks for."""
    return (GatedFeedForward if spec.gated else FeedForward)(spec, parameters)
