"""The one description of a model, its presets, and what it costs: plain arithmetic that needs no engine."""

from glassbox.spec.accounting import count_flops, count_parameters
from glassbox.spec.memory import count_memory
from glassbox.spec.model import Experts, ModelSpec, RotaryScaling
from glassbox.spec.presets import described, preset, presets
from glassbox.spec.weights import part_of, weight_shapes

__all__ = [
    "Experts",
    "ModelSpec",
    "RotaryScaling",
    "count_flops",
    "count_memory",
    "count_parameters",
    "described",
    "part_of",
    "preset",
    "presets",
    "weight_shapes",
]
