"""How two files of tensors differ, tensor by tensor: two checkpoints of a run, a model and what it was tuned to.

Both files are read side by side in pieces, so that two models larger than memory can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glassbox.hub.tensor_file import Shape, TensorFile
from glassbox.hub.tensor_statistics import AT_ONCE, UNREADABLE, float_pieces, known


@dataclass(frozen=True)
class TensorDifference:
    """One tensor that both files have in the same shape; None where it can't be said in a finite number.

    norm:      of the difference. before, after: of the tensor in either file.
    relative:  the difference's norm over the first tensor's.
    cosine:    of the angle between both, as vectors.
    largest:   the largest change of a single number, `at` its index.
    changed:   how many numbers aren't the same.
    """

    name: str
    shape: Shape
    numbers: int
    changed: int
    norm: float | None
    before: float | None
    after: float | None
    relative: float | None
    cosine: float | None
    largest: float | None
    at: tuple[int, ...] | None


@dataclass(frozen=True)
class FileDifference:
    """added, removed: names that only the second or only the first has. reshaped: name -> both shapes.

    unread: in a number format that isn't read.
    """

    tensors: tuple[TensorDifference, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    reshaped: dict[str, tuple[Shape, Shape]]
    unread: tuple[str, ...]


def compare_files(first: TensorFile, second: TensorFile) -> FileDifference:
    """In the order of the first file. Raises BadInput if one shrinks meanwhile."""
    both = [name for name in first.entries if name in second.entries]
    unread = [name for name in both if {first.entries[name].type, second.entries[name].type} & set(UNREADABLE)]
    shapes = {name: (first.entries[name].shape, second.entries[name].shape) for name in both}
    reshaped = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    alike = [name for name in both if name not in reshaped and name not in unread]
    return FileDifference(
        tensors=tuple(_compare(first, second, name) for name in alike),
        added=tuple(name for name in second.entries if name not in first.entries),
        removed=tuple(name for name in first.entries if name not in second.entries),
        reshaped=reshaped,
        unread=tuple(unread),
    )


def _compare(first: TensorFile, second: TensorFile, name: str) -> TensorDifference:
    squares = {"difference": 0.0, "before": 0.0, "after": 0.0, "product": 0.0}
    changed, largest, place = 0, 0.0, None
    with np.errstate(over="ignore", invalid="ignore"):
        for start, before, after in _side_by_side(first, second, name):
            apart = after - before
            squares["difference"] += float(apart @ apart)
            squares["before"] += float(before @ before)
            squares["after"] += float(after @ after)
            squares["product"] += float(before @ after)
            same = (before == after) | (np.isnan(before) & np.isnan(after))
            changed += int(before.size - np.count_nonzero(same))
            size = np.abs(apart)
            most = int(np.argmax(np.where(np.isfinite(size), size, -1.0)))
            if size[most] > largest:
                largest, place = float(size[most]), start + most
    shape = first.entries[name].shape
    norm, left, right = (math.sqrt(squares[key]) for key in ("difference", "before", "after"))
    return TensorDifference(
        name=name,
        shape=shape,
        numbers=math.prod(shape),
        changed=changed,
        norm=known(norm),
        before=known(left),
        after=known(right),
        relative=known(norm / left) if left else None,
        cosine=known(squares["product"] / left / right) if left and right else None,
        largest=known(largest),
        at=None if place is None else tuple(map(int, np.unravel_index(place, shape))),
    )


def _side_by_side(first: TensorFile, second: TensorFile, name: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Where a piece begins, and it in either file."""
    pieces = zip(float_pieces(first, name), float_pieces(second, name), strict=True)
    for number, (before, after) in enumerate(pieces):
        yield number * AT_ONCE, before, after
