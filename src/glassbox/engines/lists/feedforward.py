"""The feed-forward network: each token's vector widened, bent, and narrowed again, alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import mul
from typing import NamedTuple

from glassbox.engines.lists.linear import added, linear, linear_backward
from glassbox.engines.lists.parameters import Matrix, Parameters
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec
from glassbox.spec.model import Activation


def relu(x: float) -> float:
    """max(x, 0)"""
    return x if x > 0 else 0.0


def relu_slope(x: float) -> float:
    """1 above zero, 0 below."""
    return 1.0 if x > 0 else 0.0


def relu_squared(x: float) -> float:
    """max(x, 0)² (Primer, So et al. 2021, §4)"""
    return x * x if x > 0 else 0.0


def relu_squared_slope(x: float) -> float:
    """2 max(x, 0)"""
    return 2 * x if x > 0 else 0.0


def gelu(x: float) -> float:
    """x Φ(x), with Φ the normal distribution (Hendrycks & Gimpel 2016)"""
    return x * 0.5 * (1 + math.erf(x * math.sqrt(0.5)))


def gelu_slope(x: float) -> float:
    """Φ(x) + x φ(x), with φ the normal density"""
    return 0.5 * (1 + math.erf(x * math.sqrt(0.5))) + x * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def gelu_tanh(x: float) -> float:
    """x (1 + tanh u) / 2, with u = √(2/π) (x + 0.044715 x³) (Hendrycks & Gimpel 2016, §2), as in GPT-2"""
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def gelu_tanh_slope(x: float) -> float:
    """(1 + tanh u) / 2 + x (1 - tanh² u) u' / 2, with u' = √(2/π) (1 + 3 · 0.044715 x²)"""
    bent = math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + bent) + 0.5 * x * (1 - bent * bent) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), for x < 0 as exp(x) / (1 + exp(x)): exp never gets a number that it overflows on."""
    small = math.exp(-abs(x))
    return (1.0 if x >= 0 else small) / (1 + small)


def silu(x: float) -> float:
    """x σ(x) (Elfwing et al. 2017)"""
    return x * sigmoid(x)


def silu_slope(x: float) -> float:
    """σ(x) (1 + x (1 - σ(x)))"""
    gate = sigmoid(x)
    return gate * (1 + x * (1 - gate))


Function = Callable[[float], float]
ACTIVATIONS: dict[Activation, tuple[Function, Function]] = {  # each with its slope
    "relu": (relu, relu_slope),
    "relu_squared": (relu_squared, relu_squared_slope),
    "gelu": (gelu, gelu_slope),
    "gelu_tanh": (gelu_tanh, gelu_tanh_slope),
    "silu": (silu, silu_slope),
    "swiglu": (silu, silu_slope),
    "geglu": (gelu, gelu_slope),
    "geglu_tanh": (gelu_tanh, gelu_tanh_slope),
}


class FeedForward:
    """down(activation(up(x)))"""

    class Saved(NamedTuple):
        """What backward needs of forward."""

        x: Matrix  # (length, width)
        up: Matrix  # (length, hidden_width)
        hidden: Matrix  # (length, hidden_width)

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.activation, self.slope = ACTIVATIONS[spec.activation]
        self.up, self.up_bias = parameters["up"], parameters.get("up_bias")
        self.down, self.down_bias = parameters["down"], parameters.get("down_bias")

    def forward(self, x: Matrix, keep: Keep) -> tuple[Matrix, Saved]:
        """y = f(x Uᵀ) Dᵀ: (length, width) -> the same"""
        up = linear(x, self.up, self.up_bias)  # (length, hidden_width)
        hidden = [list(map(self.activation, vector)) for vector in up]
        output = linear(hidden, self.down, self.down_bias)  # (length, width)
        keep("up", up)
        keep("hidden", hidden)
        keep("output", output)
        return output, self.Saved(x, up, hidden)

    def backward(self, d_output: Matrix, saved: Saved) -> Matrix:
        """du = (dy D) · f'(u), dx = du U: (length, width) -> the same"""
        d_hidden = linear_backward(d_output, saved.hidden, self.down, self.down_bias)  # (length, hidden_width)
        d_up = [
            list(map(mul, d_vector, map(self.slope, vector)))
            for d_vector, vector in zip(d_hidden, saved.up, strict=True)
        ]
        return linear_backward(d_up, saved.x, self.up, self.up_bias)  # (length, width)


class GatedFeedForward:
    """down(activation(gate(x)) * up(x)) (Shazeer 2020)"""

    class Saved(NamedTuple):
        """What backward needs of forward."""

        x: Matrix  # (length, width)
        gate: Matrix  # (length, hidden_width), before the activation
        open: Matrix  # (length, hidden_width), after it
        up: Matrix  # (length, hidden_width)
        hidden: Matrix  # (length, hidden_width)

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.activation, self.slope = ACTIVATIONS[spec.activation]
        self.gate, self.gate_bias = parameters["gate"], parameters.get("gate_bias")
        self.up, self.up_bias = parameters["up"], parameters.get("up_bias")
        self.down, self.down_bias = parameters["down"], parameters.get("down_bias")

    def forward(self, x: Matrix, keep: Keep) -> tuple[Matrix, Saved]:
        """y = (f(x Gᵀ) · x Uᵀ) Dᵀ: (length, width) -> the same"""
        gate = linear(x, self.gate, self.gate_bias)  # (length, hidden_width)
        up = linear(x, self.up, self.up_bias)  # (length, hidden_width)
        opened = [list(map(self.activation, vector)) for vector in gate]
        hidden = [list(map(mul, *vectors)) for vectors in zip(opened, up, strict=True)]
        output = linear(hidden, self.down, self.down_bias)  # (length, width)
        keep("gate", gate)
        keep("up", up)
        keep("hidden", hidden)
        keep("output", output)
        return output, self.Saved(x, gate, opened, up, hidden)

    def backward(self, d_output: Matrix, saved: Saved) -> Matrix:
        """dh = dy D, dg = dh · u · f'(g), du = dh · f(g), dx = dg G + du U: (length, width) -> the same"""
        d_hidden = linear_backward(d_output, saved.hidden, self.down, self.down_bias)  # (length, hidden_width)
        d_up = [list(map(mul, *vectors)) for vectors in zip(d_hidden, saved.open, strict=True)]
        d_gate = [
            [d * u * self.slope(g) for d, u, g in zip(*vectors, strict=True)]
            for vectors in zip(d_hidden, saved.up, saved.gate, strict=True)
        ]
        d_x = linear_backward(d_gate, saved.x, self.gate, self.gate_bias)  # (length, width)
        return added(d_x, linear_backward(d_up, saved.x, self.up, self.up_bias))
