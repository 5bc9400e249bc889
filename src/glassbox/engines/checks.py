"""What every engine refuses alike, in words, before it computes anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes


def check_spec(spec: ModelSpec) -> None:
    """Raises BadInput for what no engine builds yet."""
    if spec.kind == "encoder-decoder":
        raise BadInput("No engine builds encoder-decoders yet.", "Choose kind = decoder or kind = encoder.")


def check_prompt(length: int, spec: ModelSpec) -> None:
    """Raises BadInput for a prompt that nothing can be written after."""
    if spec.head == "classes":
        raise BadInput("A classifier writes no tokens.", "Choose a model with head = language, or ask for its logits.")
    if not length:
        raise BadInput("The prompt is empty, and a model reads at least one token.", "Begin with the start token.")


def check_names(names: Iterable[str], spec: ModelSpec) -> None:
    """Raises BadInput unless these are the names of the spec's weights, naming the first that isn't, or is missing."""
    expected, given = weight_shapes(spec), set(names)
    for name, shape in expected.items():
        if name not in given:
            raise BadInput(
                f"The weights lack {name}, of shape {shape}.", "Give weights that were saved from a model of this spec."
            )
    for name in sorted(given - expected.keys()):
        raise BadInput(
            f"The weights hold {name}, which this model doesn't have.",
            "Give the spec that the weights were saved with.",
        )


def check_weights(shapes: Mapping[str, tuple[int, ...]], spec: ModelSpec) -> None:
    """Raises BadInput unless names and shapes are the spec's, naming the first that isn't, and both its shapes."""
    check_names(shapes, spec)
    for name, expected in weight_shapes(spec).items():
        if tuple(shapes[name]) != expected:
            raise BadInput(
                f"The weight {name} has shape {tuple(shapes[name])}, and this model's has {expected}.",
                "Give the spec that the weights were saved with.",
            )
