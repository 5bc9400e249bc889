"""What an engine of plain Python refuses, in words, before it computes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

from glassbox.engines.checks import check_names, check_source, check_source_rows, check_targets, check_types
from glassbox.engines.interface import IGNORED
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes


def checked_tokens(tokens: Any, spec: ModelSpec) -> list[list[int]]:
    """The rows as lists. Raises BadInput unless there are some, each with at least one token of the vocabulary."""
    rows = _rows_of_ids(tokens, "tokens")
    if not rows or not all(rows):
        raise BadInput("A row of tokens is empty, and a model reads at least one.", "Give rows of at least one token.")
    for row in rows:
        _check_range(row, spec.vocabulary_size, "token")
    return rows


def check_room(rows: Sequence[Sequence[int]], starts: Sequence[int], spec: ModelSpec) -> None:
    """Raises BadInput unless the context has room for every row after what its cache holds."""
    if len(starts) != len(rows):
        raise BadInput(f"There are {len(rows)} rows and {len(starts)} caches.", "Give one cache for each row.")
    longest = max(start + len(row) for start, row in zip(starts, rows, strict=True))
    if longest > spec.context:
        raise BadInput(
            f"{longest} tokens were given at once, and there is room for {spec.context}.",
            f"Give at most {spec.context} tokens, or choose a model with a longer context.",
        )


def checked_targets(
    targets: Any, rows: Sequence[Sequence[int]], spec: ModelSpec, *, continues: bool
) -> list[list[int]]:
    """A target for each prediction of each row; a classifier predicts once in a row.

    continues: do the tokens continue what a cache holds? Then no gradient could reach what came before.

    Raises BadInput unless there is one for every token (every row, for a classifier) and at least one counts.
    """
    check_targets(spec, given=True)
    if continues:
        raise BadInput(
            "Targets were given together with a cache, and nothing can be learned from what a cache holds.",
            "Give all tokens at once and no cache, or no targets.",
        )
    if spec.head == "classes":
        (each,) = _rows_of_ids([_listed(targets)], "targets")
        wanted, expected, choices = [[target] for target in each], [1 for _ in rows], spec.classes
    else:
        wanted, expected, choices = _rows_of_ids(targets, "targets"), list(map(len, rows)), spec.vocabulary_size
    found = list(map(len, wanted))
    if found != expected:
        raise BadInput(
            f"There are {found} targets for each row, and {expected} predictions.",
            f"Give one target for each prediction, {IGNORED} where none is wanted.",
        )
    counting = [target for row in wanted for target in row if target != IGNORED]
    if not counting:
        raise BadInput(f"No target counts: all of them are {IGNORED}.", "Give at least one target to learn from.")
    _check_range(counting, choices, "target")
    return wanted


def checked_types(types: Any, rows: Sequence[Sequence[int]], spec: ModelSpec) -> list[list[int]]:
    """The type of each token of each row, 0 if none are given. Raises BadInput unless the model knows all of them."""
    if types is None:
        return [[0 for _ in row] for row in rows]
    check_types(spec, given=True)
    kinds = _rows_of_ids(types, "types")
    found, expected = list(map(len, kinds)), list(map(len, rows))
    if found != expected:
        raise BadInput(f"There are {found} types for each row, and {expected} tokens.", "Give each token one.")
    for row in kinds:
        _check_range(row, spec.token_types, "type")
    return kinds


def checked_present(present: Any, rows: Sequence[Sequence[int]], starts: Sequence[int]) -> list[list[int]]:
    """Raises BadInput unless every row says of each token, those in the cache included, whether it is there."""
    flags = _rows_of_ids(present, "flags of `present`")
    said, asked = list(map(len, flags)), [start + len(row) for start, row in zip(starts, rows, strict=True)]
    if said != asked:
        raise BadInput(
            f"`present` speaks of {said} tokens, and the rows have {asked}.", "Give True or False for every token."
        )
    return flags


SourceIds = tuple[list[int], list[int] | None]  # of one row: its ids, and which of them are there (None: all)


def checked_sources(
    source: Any, present: Any, rows: Sequence[Sequence[int]], spec: ModelSpec, *, held: bool
) -> Sequence[SourceIds | None]:
    """What an encoder-decoder reads for each row of tokens, None where there is nothing to read now.

    held: the caches have sources. Raises BadInput as `check_source` and as for tokens.
    """
    ids = None if source is None else checked_tokens(source, spec)
    check_source(spec, rows=len(rows), source_rows=None if ids is None else len(ids), held=held)
    if ids is None:
        return [None for _ in rows]
    starts = [0 for _ in ids]
    check_room(ids, starts, spec)
    if present is None:
        return [(row, None) for row in ids]
    flags = checked_present(present, ids, starts)
    check_source_rows(map(any, flags))
    return list(zip(ids, flags, strict=True))


def checked_weights(weights: Mapping[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """Every weight of the spec as nested lists of floats, from nested lists or anything with `.tolist()`.

    Raises BadInput naming the first weight that is missing, unknown, of another shape, or holds what is no number.
    """
    check_names(weights, spec)
    return {name: numbers(f"The weight {name}", weights[name], shape) for name, shape in weight_shapes(spec).items()}


def numbers(what: str, weight: Any, shape: tuple[int, ...]) -> Any:
    """Nested lists of that shape with floats in them. Raises BadInput, naming it, when it is of another shape."""
    nested = _listed(weight)
    found = _shape(nested)
    if not _has_shape(nested, shape):
        raise BadInput(
            f"{what} has shape {found}, and this model's has {shape}.",
            "Give the spec that the weights were saved with, and rows of one length.",
        )
    try:
        return _floats(nested)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} holds something that is no number: {error}.", "Give numbers.") from None


def _rows_of_ids(rows: Any, what: str) -> list[list[int]]:
    try:
        return [[index(number) for number in row] for row in _listed(rows)]
    except TypeError as error:
        raise BadInput(
            f"The {what} are no rows of whole numbers: {error}.", "Give a list of rows, each a list of whole numbers."
        ) from None


def _listed(nested: Any) -> Any:
    """Arrays and tensors of any library as nested lists."""
    return nested.tolist() if hasattr(nested, "tolist") else nested


def _check_range(ids: Sequence[int], choices: int, kind: str) -> None:
    if min(ids) < 0 or max(ids) >= choices:
        wrong = next(number for number in ids if not 0 <= number < choices)
        raise BadInput(
            f"The {kind} {wrong} is outside of 0 to {choices - 1}.", "Use the tokenizer that belongs to this model."
        )


def _shape(nested: Any) -> tuple[int, ...]:
    if not isinstance(nested, (list, tuple)):
        return ()
    return (len(nested), *(_shape(nested[0]) if nested else ()))


def _has_shape(nested: Any, shape: tuple[int, ...]) -> bool:
    if not shape:
        return not isinstance(nested, (list, tuple))
    return _shape(nested)[:1] == shape[:1] and all(_has_shape(inner, shape[1:]) for inner in nested)


def _floats(nested: Any) -> Any:
    return [_floats(inner) for inner in nested] if isinstance(nested, (list, tuple)) else float(nested)
