"""What an engine of plain Python refuses, in words, before it computes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glassbox.engines.interface import IGNORED
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes


def check_spec(spec: ModelSpec) -> None:
    """Raises BadInput for what no engine builds yet."""
    if spec.kind == "encoder-decoder":
        raise BadInput("No engine builds encoder-decoders yet.", "Choose kind = decoder or kind = encoder.")
    if spec.experts is not None:
        raise BadInput("No engine builds mixtures of experts yet.", "Drop experts from the model description.")


def check_tokens(rows: Sequence[Sequence[int]], starts: Sequence[int], spec: ModelSpec) -> None:
    """Raises BadInput unless every row has tokens, all in the vocabulary, with room for them after its start."""
    if not rows or not all(len(row) for row in rows):
        raise BadInput("A row of tokens is empty, and a model reads at least one.", "Give rows of at least one token.")
    longest = max(start + len(row) for start, row in zip(starts, rows, strict=True))
    if longest > spec.context:
        raise BadInput(
            f"{longest} tokens were given at once, and there is room for {spec.context}.",
            f"Give at most {spec.context} tokens, or choose a model with a longer context.",
        )
    for row in rows:
        _check_ids(row, spec.vocabulary_size, "token")


def check_present(present: Sequence[Sequence[bool]], rows: Sequence[Sequence[int]], starts: Sequence[int]) -> None:
    """Raises BadInput unless every row says of each token, those in the cache included, whether it is there."""
    said, asked = [len(row) for row in present], [start + len(row) for start, row in zip(starts, rows, strict=True)]
    if said != asked:
        raise BadInput(
            f"`present` speaks of {said} tokens, and the rows have {asked}.", "Give True or False for every token."
        )


def check_prompt(prompt: Sequence[int], spec: ModelSpec) -> None:
    """Raises BadInput for a prompt that nothing can be written after."""
    if spec.head == "classes":
        raise BadInput("A classifier writes no tokens.", "Choose a model with head = language, or ask for its logits.")
    if not prompt:
        raise BadInput("The prompt is empty, and a model reads at least one token.", "Begin with the start token.")


def check_targets(targets: Any, rows: Sequence[Sequence[int]], spec: ModelSpec, *, continues: bool) -> None:
    """Raises BadInput unless there is a target for every token (every row, for a classifier) and one of them counts.

    continues: do the tokens continue what a cache holds? Then no gradient could reach what came before.
    """
    if continues:
        raise BadInput(
            "Targets were given together with a cache, and nothing can be learned from what a cache holds.",
            "Give all tokens at once and no cache, or no targets.",
        )
    if spec.head == "classes":
        targets, shapes, choices = [targets], ([len(targets)], [len(rows)]), spec.classes
    else:
        shapes, choices = ([len(row) for row in targets], [len(row) for row in rows]), spec.vocabulary_size
    if shapes[0] != shapes[1]:
        raise BadInput(
            f"There are targets for {shapes[0]} places, and predictions at {shapes[1]}.",
            "Give one target for each prediction, -1 where none is wanted.",
        )
    counting = [[target for target in row if target != IGNORED] for row in targets]
    if not any(counting):
        raise BadInput("No target counts: all of them are -1.", "Give at least one target to learn from.")
    for row in counting:
        _check_ids(row, choices, "target")


def weight_numbers(weights: Mapping[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """Every weight of the spec as nested lists of floats, from nested lists or anything with `.tolist()`.

    Raises BadInput naming the first weight that is missing, unknown, of another shape, or holds what is no number.
    """
    expected = weight_shapes(spec)
    remedy = "Give the spec that the weights were saved with."
    for name, shape in expected.items():
        if name not in weights:
            raise BadInput(
                f"The weights lack {name}, of shape {shape}.", "Give weights that were saved from a model of this spec."
            )
    for name in weights:
        if name not in expected:
            raise BadInput(f"The weights hold {name}, which this model doesn't have.", remedy)
    return {name: numbers(f"The weight {name}", weights[name], shape) for name, shape in expected.items()}


def numbers(what: str, weight: Any, shape: tuple[int, ...]) -> Any:
    """A vector or a matrix as nested lists of floats. Raises BadInput, naming it, when it is of another shape."""
    nested = weight.tolist() if hasattr(weight, "tolist") else weight
    found = _shape(nested)
    if found != shape or any(_shape(row) != shape[1:] for row in nested):
        raise BadInput(
            f"{what} has shape {found}, and this model's has {shape}.",
            "Give the spec that the weights were saved with, and rows of one length.",
        )
    try:
        return [[float(number) for number in row] for row in nested] if len(shape) == 2 else [float(n) for n in nested]
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} holds something that is no number: {error}.", "Give numbers.") from None


def _check_ids(ids: Sequence[int], choices: int, kind: str) -> None:
    if ids and not (min(ids) >= 0 and max(ids) < choices):
        wrong = next(number for number in ids if not 0 <= number < choices)
        raise BadInput(
            f"The {kind} {wrong} is outside of 0 to {choices - 1}.", "Use the tokenizer that belongs to this model."
        )


def _shape(nested: Any) -> tuple[int, ...]:
    if not isinstance(nested, (list, tuple)):
        return ()
    return (len(nested), *(_shape(nested[0]) if nested else ()))
