"""Where the parameters of models are: a bar for each model, its parts in the colours that they have everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from glassbox.pictures.colours import Part
from glassbox.pictures.stacked import Stacked
from glassbox.spec.accounting import Parameters
from glassbox.spec.weights import PARTS

COLOURS: Mapping[str, Part] = {
    "embedding": "embedding",
    "positions": "data",
    "attention": "attention",
    "feedforward": "feedforward",
    "norms": "stream",
    "output": "output",
}


def parameters_by_part(title: str, models: Mapping[str, Parameters]) -> Stacked:
    """By the models' names."""
    parts = {part: [float(counted.by_part[part]) for counted in models.values()] for part in PARTS}
    return Stacked(title, list(models), parts, COLOURS)
