"""How their tensors and ours hold the same numbers: a table of names, and the ways in which numbers are laid out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


class Layout(ABC):
    """One way; each method takes and gives one element for each name of the correspondence."""

    @abstractmethod
    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]: ...

    @abstractmethod
    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        """shapes: of ours."""

    @abstractmethod
    def to_theirs(self, ours: Sequence[Array]) -> list[Array]: ...


class Same(Layout):
    """As it is."""

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        return list(ours)

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        return list(theirs)

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        return list(ours)


class Stacked(Layout):
    """Several of ours beneath one another: (outputs of all, inputs), or biases one after the other."""

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        return [(sum(shape[0] for shape in ours), *ours[0][1:])]

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        return np.split(theirs[0], list(accumulate(shape[0] for shape in shapes))[:-1])

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        return [np.concatenate(ours)]


class Turned(Stacked):
    """Stacked, and stored as (inputs, outputs): GPT-2's "Conv1D"."""

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        return [shape[::-1] for shape in super().their_shapes(ours)]

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        return super().to_ours([theirs[0].T], shapes)

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        return [super().to_theirs(ours)[0].T]


@dataclass(frozen=True)
class ByHead(Layout):
    """Query, key and value of the first head, then those of the second: NeoX, BLOOM."""

    heads: int

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        return Stacked().their_shapes(ours)

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        # (heads * parts * head_width, ...) -> (heads, parts, head_width, ...)
        apart = theirs[0].reshape(self.heads, len(shapes), -1, *theirs[0].shape[1:])
        return [apart[:, part].reshape(shape) for part, shape in enumerate(shapes)]

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        apart = [array.reshape(self.heads, -1, *array.shape[1:]) for array in ours]  # (heads, head_width, ...)
        return [np.stack(apart, axis=1).reshape(-1, *ours[0].shape[1:])]


class OneEach(Layout):
    """Many of theirs, each an expert's matrix, are one of ours: (experts, outputs, inputs)."""

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        count, *matrix = ours[0]
        return [tuple(matrix)] * count

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        return [np.stack(theirs)]

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        return list(ours[0])


class OneRow(Layout):
    """A vector, stored as a matrix of one row."""

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        return [(1, *ours[0])]

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        return [theirs[0][0]]

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        return [ours[0][None]]


@dataclass(frozen=True)
class LaterRows(Layout):
    """Behind some rows that nobody reads; they are written as zeros."""

    unused: int

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        return [(ours[0][0] + self.unused, *ours[0][1:])]

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        return [theirs[0][self.unused :]]

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        return [np.concatenate((np.zeros((self.unused, *ours[0].shape[1:]), ours[0].dtype), ours[0]))]


@dataclass(frozen=True)
class Correspondence:
    """Some tensors of theirs and some of ours that hold the same numbers."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    layout: Layout


def same(theirs: str, ours: str) -> Correspondence:
    """One tensor with two names."""
    return Correspondence((theirs,), (ours,), Same())
