"""What every engine refuses alike, in words, before it computes anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes


def check_source(spec: ModelSpec, *, rows: int, source_rows: int | None, held: bool) -> None:
    """Raises BadInput unless an encoder-decoder gets a source, once and of as many rows, and nothing else gets one.

    source_rows: of the source that comes with this call; None when none comes. held: the cache has one.
    """
    if spec.kind != "encoder-decoder":
        if source_rows is not None:
            raise BadInput(f"A source was given to a model of kind {spec.kind}, which reads none.", "Give tokens only.")
    elif source_rows is None:
        if not held:
            raise BadInput("An encoder-decoder writes about a source, and none was given.", "Give source, rows of ids.")
    elif held:
        raise BadInput("The cache holds a source already, and another was given.", "Begin with another cache.")
    elif source_rows != rows:
        raise BadInput(
            f"There are {rows} rows of tokens and {source_rows} of the source.", "Give each row a source of its own."
        )


def check_targets(spec: ModelSpec, *, given: bool) -> None:
    """Raises BadInput for targets of a model that predicts nothing."""
    if given and spec.head == "vectors":
        raise BadInput("This model gives vectors, and targets belong to predictions.", "Give no targets.")


def check_types(spec: ModelSpec, *, given: bool) -> None:
    """Raises BadInput for types of tokens where the model knows none."""
    if given and not spec.token_types:
        raise BadInput("Types of tokens were given, and this model knows none.", "Give tokens only.")


def check_source_rows(present: Iterable[bool]) -> None:
    """present: of each row of the source, whether it has any token. Raises BadInput if one has none."""
    for row, any_token in enumerate(present, start=1):
        if not any_token:
            raise BadInput(f"Row {row} of the source has no token that is present.", "Give each at least one token.")


def check_prompt(length: int, spec: ModelSpec) -> None:
    """Raises BadInput for a prompt that nothing can be written after."""
    if spec.head == "classes":
        raise BadInput("A classifier writes no tokens.", "Choose a model with head = language, or ask for its logits.")
    if spec.head == "vectors":
        raise BadInput("This model gives vectors and writes no tokens.", "Choose a model with head = language.")
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
