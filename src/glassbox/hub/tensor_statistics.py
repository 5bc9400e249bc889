"""What is in a tensor of a file: its range, its moments, its histogram; piece by piece, whatever its size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glassbox.errors import BadInput
from glassbox.hub.number_formats import widen
from glassbox.hub.tensor_file import Shape, TensorFile

AT_ONCE = 1 << 20  # numbers: 8 MB of them in float64
UNREADABLE = ("F8_E4M3", "F8_E5M2")  # NumPy has nothing like them


@dataclass(frozen=True)
class TensorStatistics:
    """Over the finite numbers of a tensor; None where it has none, or where a sum is beyond float64.

    deviation: the standard deviation. norm: the root of the sum of squares. zeros: how many are exactly 0.
    not_finite: NaN and infinities. counts: of `len(counts)` bins of equal width from `least` to `largest`.
    """

    format: str
    shape: Shape
    numbers: int
    not_finite: int
    zeros: int
    least: float | None
    largest: float | None
    mean: float | None
    deviation: float | None
    norm: float | None
    counts: tuple[int, ...]


def tensor_statistics(file: TensorFile, name: str, *, bins: int = 64) -> TensorStatistics:
    """Reads the tensor twice. Raises BadInput for a name or a number format that can't be read."""
    check_readable(file, name)
    total = finite = zeros = 0
    least, largest, summed, squares = math.inf, -math.inf, 0.0, 0.0
    with np.errstate(over="ignore"):
        for piece in float_pieces(file, name):
            total += piece.size
            kept = piece[np.isfinite(piece)]
            if kept.size:
                finite += kept.size
                zeros += kept.size - int(np.count_nonzero(kept))
                least, largest = min(least, float(kept.min())), max(largest, float(kept.max()))
                summed += float(kept.sum())
                squares += float(kept @ kept)
        mean = summed / finite if finite else math.nan
        spread, counts = 0.0, np.zeros(bins, np.int64)
        if finite:
            for piece in float_pieces(file, name):
                kept = piece[np.isfinite(piece)]
                spread += float(np.square(kept - mean).sum())
                counts += _counts(kept, least, largest, bins)
    entry = file.entries[name]
    return TensorStatistics(
        format=entry.type,
        shape=entry.shape,
        numbers=total,
        not_finite=total - finite,
        zeros=zeros,
        least=known(least),
        largest=known(largest),
        mean=known(mean),
        deviation=known(math.sqrt(spread / finite)) if finite else None,
        norm=known(math.sqrt(squares)) if finite else None,
        counts=tuple(counts.tolist()) if finite else (),
    )


def check_readable(file: TensorFile, name: str) -> None:
    """Raises BadInput unless the file has a tensor of that name, in numbers that can be computed with."""
    if name not in file.entries:
        raise BadInput(f"The file {file.path.name} has no tensor called {name[:100]!r}.", "See its list of tensors.")
    if (kind := file.entries[name].type) in UNREADABLE:
        raise BadInput(f"{name} is in the number format {kind}, which isn't read here.", "Convert it to bfloat16.")


def float_pieces(file: TensorFile, name: str) -> Iterator[NDArray[np.float64]]:
    """A tensor's numbers in order as float64, some at a time."""
    kind = file.entries[name].type
    for piece in file.pieces(name, AT_ONCE):
        yield widen(piece, kind).astype(np.float64)


def known(value: float) -> float | None:
    """None instead of what isn't finite, for JSON has nothing like it."""
    return value if math.isfinite(value) else None


def _counts(numbers: NDArray[np.float64], least: float, largest: float, bins: int) -> NDArray[np.int64]:
    """By each number's place between the ends; halved first, for the width of a range can be beyond float64."""
    half = largest / 2 - least / 2
    if not half:
        return np.bincount(np.zeros(numbers.size, np.intp), minlength=bins)
    places = (numbers / 2 - least / 2) / half * bins
    return np.bincount(np.clip(places.astype(np.intp), 0, bins - 1), minlength=bins)
