"""How a token knows where it stands: tables that depend on the spec alone, so that they are computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from glassbox.spec import ModelSpec
from glassbox.spec.rotary import rotary_frequencies


def sinusoidal_table(length: int, width: int) -> Tensor:
    """(length, width): sine in even channels, cosine in odd, wavelengths 2 pi to 20,000 pi (Vaswani 2017, §3.5)."""
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)  # (length, width / 2, 2) -> (length, width)


def rotary_table(length: int, frequencies: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines for `rotate`, each (length, 1, rotated_width) (Su et al. 2021, eq. 34).

    Channel i is paired with channel i + rotated_width / 2, the layout of Llama's and NeoX's published weights.
    """
    turns = torch.tensor(frequencies, dtype=torch.float64)  # (rotated_width / 2,) radians per token
    angles = torch.arange(length, dtype=torch.float64)[:, None, None] * turns  # (length, 1, rotated_width / 2)
    return torch.cat((angles.cos(), angles.cos()), -1), torch.cat((-angles.sin(), angles.sin()), -1)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn the first channels of each head by its position: (batch, length, heads, head_width) -> the same.

    For a pair (a, b): a cos - b sin, b cos + a sin. Rolling by half the width puts b where a stands and a where b
    stands, and the sines carry the sign.
    """
    width = cosines.shape[-1]
    turned = x if width == x.shape[-1] else x[..., :width]
    turned = torch.addcmul(turned * cosines, turned.roll(width // 2, -1), sines)
    return turned if width == x.shape[-1] else torch.cat((turned, x[..., width:]), -1)


def alibi_slopes(heads: int) -> Tensor:
    """(heads,): a geometric sequence from 2^(-8/heads) (ALiBi, Press et al. 2022, §3).

    For a number of heads that is no power of two, the authors' code takes the slopes of the power below and fills up
    with every other slope of the power above.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2.0 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes, dtype=torch.float64)


def attention_bias(spec: ModelSpec, length: int) -> Tensor:
    """What is added to the scores: (heads or 1, length, length), -inf where a token must not look.

    Holds causality, the sliding window, and ALiBi's penalty by distance.
    """
    positions = torch.arange(length)
    distance = positions[:, None] - positions  # (length, length): how far the key lies behind the query
    hidden = torch.zeros_like(distance, dtype=torch.bool)
    if spec.causal:
        hidden |= distance < 0
    if spec.window is not None:
        hidden |= distance.abs() >= spec.window
    bias = torch.zeros((1, length, length), dtype=torch.float64)
    if spec.positions == "alibi":
        bias = -alibi_slopes(spec.heads)[:, None, None] * distance.abs()  # (heads, length, length)
    return bias.masked_fill(hidden, -math.inf)


class Tables:
    """The tables of one model, each built when first needed and kept for its dtype and device.

    They stay out of the module's buffers: they are no weights, and a cast of the model must not round them twice.
    Inference mode is off while one is built, so that a table that decoding built serves training too.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._rotary: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}
        self._sinusoidal: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        self._bias: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def rotary(self, start: int, end: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines of positions start to end, each (end - start, 1, rotated_width)."""
        key = (dtype, device)
        if key not in self._rotary or len(self._rotary[key][0]) < end:
            with torch.inference_mode(False):
                cosines, sines = rotary_table(self._room(end), rotary_frequencies(self.spec))
                self._rotary[key] = (cosines.to(device, dtype), sines.to(device, dtype))
        cosines, sines = self._rotary[key]
        return cosines[start:end], sines[start:end]

    def sinusoidal(self, start: int, end: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """(end - start, width)"""
        key = (dtype, device)
        if key not in self._sinusoidal or len(self._sinusoidal[key]) < end:
            with torch.inference_mode(False):
                self._sinusoidal[key] = sinusoidal_table(self._room(end), self.spec.width).to(device, dtype)
        return self._sinusoidal[key][start:end]

    def bias(self, start: int, end: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """(heads or 1, end - start, end): the bias of queries at start to end on keys at 0 to end."""
        key = (dtype, device)
        if key not in self._bias or self._bias[key].shape[-1] < end:
            with torch.inference_mode(False):
                self._bias[key] = attention_bias(self.spec, end).to(device, dtype)
        return self._bias[key][:, start:end, :end]

    def _room(self, end: int) -> int:
        """Enough rows for the usual model at once; a very long context only as far as it is used."""
        return min(self.spec.context, max(2 * end, 1024))
