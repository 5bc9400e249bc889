"""The one description of a model, its presets, and what it costs: plain arithmetic that needs no engine."""

from glassbox.spec.model import Experts, ModelSpec
from glassbox.spec.weights import part_of, weight_shapes

__all__ = ["Experts", "ModelSpec", "part_of", "weight_shapes"]
