"""Norms: each token's vector to unit scale, alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Norm(nn.Module):
    """LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019) or GroupNorm over the width (Wu & He 2018)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.kind = spec.norm
        self.groups = spec.norm_groups
        self.epsilon = spec.norm_epsilon
        self.shape = (spec.width,)
        self.gain = nn.Parameter(torch.empty(spec.width)) if spec.norm_gain else None
        self.bias = nn.Parameter(torch.empty(spec.width)) if spec.norm_bias else None

    def forward(self, x: Tensor, keep: Keep = NOTHING) -> Tensor:
        """(batch, length, width) -> the same."""
        if self.kind == "rms":
            y = F.rms_norm(x, self.shape, self.gain, self.epsilon)
        elif self.kind == "layer":
            y = F.layer_norm(x, self.shape, self.gain, self.bias, self.epsilon)
        else:  # each token's groups of channels, (batch * length, width)
            y = F.group_norm(x.flatten(0, -2), self.groups, self.gain, self.bias, self.epsilon).view_as(x)
        keep("output", y)
        return y


class Unchanged(nn.Module):
    """No norm: what comes in goes out."""

    def forward(self, x: Tensor, keep: Keep = NOTHING) -> Tensor:
        return x


def norm(spec: ModelSpec) -> nn.Module:
    """The norm that the spec asks for."""
    return Unchanged() if spec.norm == "none" else Norm(spec)
