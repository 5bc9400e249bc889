"""The feed-forward network: each token's vector widened, bent, and narrowed again, alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.tensors.linear import linear
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec
from glassbox.spec.model import Activation


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)^2 (Primer, So et al. 2021, §4)."""
    return F.relu(x).square()


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh formula (Hendrycks & Gimpel 2016, §2), as in GPT-2."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu_squared": relu_squared,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "silu": F.silu,
    "swiglu": F.silu,
    "geglu": F.gelu,
    "geglu_tanh": gelu_tanh,
}


class FeedForward(nn.Module):
    """down(activation(up(x)))"""

    def __init__(self, spec: ModelSpec, hidden_width: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.up = nn.Parameter(torch.empty(hidden_width, spec.width))
        self.down = nn.Parameter(torch.empty(spec.width, hidden_width))
        self.up_bias = nn.Parameter(torch.empty(hidden_width)) if spec.feedforward_bias else None
        self.down_bias = nn.Parameter(torch.empty(spec.width)) if spec.feedforward_bias else None

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        """(batch, length, width) -> the same."""
        up = linear(x, self.up, self.up_bias)  # (batch, length, hidden_width)
        hidden = self.activation(up)
        keep("up", up)
        keep("hidden", hidden)
        output = linear(hidden, self.down, self.down_bias)  # (batch, length, width)
        keep("output", output)
        return output


class GatedFeedForward(nn.Module):
    """down(activation(gate(x)) * up(x)), gate and up in one matrix product (Shazeer 2020)."""

    def __init__(self, spec: ModelSpec, hidden_width: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.gate_up = nn.Parameter(torch.empty(2 * hidden_width, spec.width))  # `transformer.FUSED`
        self.down = nn.Parameter(torch.empty(spec.width, hidden_width))
        self.gate_up_bias = nn.Parameter(torch.empty(2 * hidden_width)) if spec.feedforward_bias else None
        self.down_bias = nn.Parameter(torch.empty(spec.width)) if spec.feedforward_bias else None

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        """(batch, length, width) -> the same."""
        gate, up = linear(x, self.gate_up, self.gate_up_bias).chunk(2, -1)  # each (batch, length, hidden_width)
        hidden = self.activation(gate) * up
        keep("gate", gate)
        keep("up", up)
        keep("hidden", hidden)
        output = linear(hidden, self.down, self.down_bias)  # (batch, length, width)
        keep("output", output)
        return output


def feedforward(spec: ModelSpec, hidden_width: int) -> FeedForward | GatedFeedForward:
    """The network that the spec's activation asks for."""
    return (GatedFeedForward if spec.gated else FeedForward)(spec, hidden_width)
