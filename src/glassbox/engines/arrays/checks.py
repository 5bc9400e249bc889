"""What this engine refuses, in words, before it computes anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from glassbox.engines.arrays.parameters import Array, Tokens
from glassbox.engines.checks import (
    check_names,
    check_source,
    check_source_rows,
    check_targets,
    check_types,
    check_weights,
)
from glassbox.engines.interface import IGNORED
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes


def checked_dtype(dtype: DTypeLike) -> DTypeLike:
    """Raises BadInput unless it is float32 or float64."""
    for known in (np.float32, np.float64):
        try:
            if dtype is not None and np.dtype(dtype) == known:
                return known
        except TypeError:  # not the name of any type
            break
    raise BadInput(f"The arrays engine computes in float32 or float64, not in {dtype}.", "Choose one of the two.")


def checked_tokens(tokens: ArrayLike, room: int, start: int, spec: ModelSpec) -> Tokens:
    """The ids as int64, (batch, length). Raises BadInput unless all are in the vocabulary, with room after `start`."""
    ids = _ids(tokens, "tokens")
    if ids.ndim != 2 or not ids.size:
        raise BadInput(f"Tokens have the shape {ids.shape}.", "Give a batch of rows: (batch, length), both at least 1.")
    end = start + ids.shape[1]
    if end > room:
        raise BadInput(
            f"{end} tokens were given at once, and there is room for {room}.",
            f"Give at most {room} tokens, or choose a model with a longer context.",
        )
    _check_range(ids, spec.vocabulary_size, "token")
    return ids


def checked_targets(targets: ArrayLike, batch: int, length: int, spec: ModelSpec) -> tuple[Tokens, int]:
    """Targets as int64, (predictions,), and how many of them count.

    Raises BadInput unless there is one for every token (every row, for a classifier) and at least one counts.
    """
    check_targets(spec, given=True)
    ids = _ids(targets, "targets")
    classes = spec.head == "classes"
    expected = (batch,) if classes else (batch, length)
    if ids.shape != expected:
        raise BadInput(
            f"There are targets of shape {ids.shape}, and predictions of shape {expected}.",
            f"Give one target for each prediction, {IGNORED} where none is wanted.",
        )
    ids = ids.reshape(-1)
    counted = int(np.count_nonzero(ids != IGNORED))
    if not counted:
        raise BadInput(f"No target counts: all of them are {IGNORED}.", "Give at least one target to learn from.")
    choices = spec.classes if classes else spec.vocabulary_size
    _check_range(ids if counted == ids.size else ids[ids != IGNORED], choices, "target")
    return ids, counted


def checked_types(types: ArrayLike, shape: tuple[int, ...], spec: ModelSpec) -> Tokens:
    """The types of tokens of that shape as int64. Raises BadInput unless there is one that the model knows for each."""
    check_types(spec, given=True)
    ids = _ids(types, "types")
    if ids.shape != shape:
        raise BadInput(f"There are types of shape {ids.shape}, and tokens of shape {shape}.", "Give each token one.")
    _check_range(ids, spec.token_types, "type")
    return ids


def checked_present(present: ArrayLike, batch: int, end: int) -> NDArray[np.bool_]:
    """Raises BadInput unless it says of each token, those in the cache included, whether it is there."""
    remedy = "Give True or False for every token."
    try:
        flags = np.asarray(present, bool)
    except ValueError:
        raise BadInput("The rows of `present` are of different lengths.", remedy) from None
    if flags.shape != (batch, end):
        raise BadInput(f"`present` has the shape {flags.shape}, and the tokens have {(batch, end)}.", remedy)
    return flags


def checked_source(
    source: ArrayLike | None, present: ArrayLike | None, spec: ModelSpec, *, rows: int, held: bool
) -> tuple[Tokens | None, NDArray[np.bool_] | None]:
    """What an encoder-decoder reads, and which of it is there. Raises BadInput as `check_source` and as for tokens.

    rows: of tokens; held: the cache has a source.
    """
    ids = None if source is None else checked_tokens(source, spec.context, 0, spec)
    check_source(spec, rows=rows, source_rows=None if ids is None else len(ids), held=held)
    if ids is None or present is None:
        return ids, None
    flags = checked_present(present, *ids.shape)
    check_source_rows([bool(row.any()) for row in flags])
    return ids, flags


def checked_weights(weights: Mapping[str, Any], spec: ModelSpec) -> dict[str, Array]:
    """As arrays. Raises BadInput unless the names and shapes are the spec's, naming the first that isn't."""
    check_names(weights, spec)
    arrays: dict[str, Array] = {}
    for name in weight_shapes(spec):
        try:
            arrays[name] = np.asarray(weights[name], np.float64)
        except (TypeError, ValueError) as error:
            raise BadInput(f"The weight {name} is no array of numbers: {error}.", "Give numbers.") from None
    check_weights({name: array.shape for name, array in arrays.items()}, spec)
    return arrays


def _ids(values: ArrayLike, what: str) -> Tokens:
    try:
        ids = np.asarray(values)
    except ValueError:
        raise BadInput(f"The rows of {what} are of different lengths.", "Pad them to one length.") from None
    if ids.dtype.kind not in "iu" and ids.size:
        raise BadInput(f"The {what} are of type {ids.dtype}, and ids are whole numbers.", "Give integers.")
    return ids.astype(np.int64, copy=False)


def _check_range(ids: Tokens, choices: int, kind: str) -> None:
    # Read as unsigned, a negative number is a huge one, so that one comparison finds both ends.
    if np.maximum.reduce(ids.view(np.uint64), None) >= choices:
        wrong = ids[(ids < 0) | (ids >= choices)].flat[0]
        raise BadInput(
            f"The {kind} {wrong} is outside of 0 to {choices - 1}.", "Use the tokenizer that belongs to this model."
        )
