"""How fast rotary positions turn: plain numbers that follow from the spec, the same in every engine."""

from __future__ import annotations

import math

from glassbox.spec.model import ModelSpec, RotaryScaling


def rotary_frequencies(spec: ModelSpec) -> list[float]:
    """Radians per token of each pair of channels, (rotated_width / 2,), fastest first (Su et al. 2021, §3.2.2)."""
    width = spec.rotated_width
    frequencies = [spec.rotary_base ** (-channel / width) for channel in range(0, width, 2)]
    if spec.rotary_scaling is None:
        return frequencies
    return [_scaled(frequency, spec.rotary_scaling) for frequency in frequencies]


def _scaled(frequency: float, scaling: RotaryScaling) -> float:
    """One frequency for texts longer than those that the model was first trained on.

    linear: every pair turns slower by the factor (position interpolation, Chen et al. 2023, §2.3).
    llama3: a pair that turns often within the original context tells near tokens apart and is left as it is; one that
            turns seldom is slowed by the factor; those between go smoothly from one to the other (Llama 3.1, 2024).
    """
    if scaling.kind == "linear":
        return frequency / scaling.factor
    turns = scaling.original_context * frequency / (2 * math.pi)
    fast, slow = scaling.fast_turns, scaling.slow_turns
    kept = min(1.0, max(0.0, (turns - slow) / (fast - slow)))
    return kept * frequency + (1 - kept) * frequency / scaling.factor
