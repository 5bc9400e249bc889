"""The feed-forward network: each token's vector widened, bent, and narrowed again, alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import mul

from glassbox.engines.scalars.linear import linear
from glassbox.engines.scalars.parameters import Parameters
from glassbox.engines.scalars.value import Matrix, Value
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec
from glassbox.spec.model import Activation


def relu_squared(x: Value) -> Value:
    """max(x, 0)² (Primer, So et al. 2021, §4)"""
    bent = x.relu()
    return bent * bent


def gelu(x: Value) -> Value:
    """x Φ(x), with Φ the normal distribution (Hendrycks & Gimpel 2016)"""
    return x * 0.5 * (1 + (x * math.sqrt(0.5)).erf())


def gelu_tanh(x: Value) -> Value:
    """x (1 + tanh u) / 2, with u = √(2/π) (x + 0.044715 x³) (Hendrycks & Gimpel 2016, §2), as in GPT-2"""
    return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)).tanh())


def silu(x: Value) -> Value:
    """x σ(x) (Elfwing et al. 2017)"""
    return x * x.sigmoid()


ACTIVATIONS: dict[Activation, Callable[[Value], Value]] = {
    "relu": Value.relu,
    "relu_squared": relu_squared,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "swiglu": silu,
    "geglu": gelu,
    "geglu_tanh": gelu_tanh,
}


class FeedForward:
    """down(activation(up(x)))"""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.activation = ACTIVATIONS[spec.activation]
        self.up, self.up_bias = parameters["up"], parameters.get("up_bias")
        self.down, self.down_bias = parameters["down"], parameters.get("down_bias")

    def forward(self, x: Matrix, keep: Keep) -> Matrix:
        """y = f(x Uᵀ) Dᵀ: (length, width) -> the same"""
        up = linear(x, self.up, self.up_bias)  # (length, hidden_width)
        hidden = [list(map(self.activation, vector)) for vector in up]
        output = linear(hidden, self.down, self.down_bias)  # (length, width)
        keep("up", up)
        keep("hidden", hidden)
        keep("output", output)
        return output


class GatedFeedForward:
    """down(activation(gate(x)) * up(x)) (Shazeer 2020)"""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        self.activation = ACTIVATIONS[spec.activation]
        self.gate, self.gate_bias = parameters["gate"], parameters.get("gate_bias")
        self.up, self.up_bias = parameters["up"], parameters.get("up_bias")
        self.down, self.down_bias = parameters["down"], parameters.get("down_bias")

    def forward(self, x: Matrix, keep: Keep) -> Matrix:
        """y = (f(x Gᵀ) · x Uᵀ) Dᵀ: (length, width) -> the same"""
        gate = linear(x, self.gate, self.gate_bias)  # (length, hidden_width)
        up = linear(x, self.up, self.up_bias)  # (length, hidden_width)
        hidden = [list(map(mul, map(self.activation, g), u)) for g, u in zip(gate, up, strict=True)]
        output = linear(hidden, self.down, self.down_bias)  # (length, width)
        keep("gate", gate)
        keep("up", up)
        keep("hidden", hidden)
        keep("output", output)
        return output
