"""Train, validation and test, without leakage between near-duplicates.

By documents: where a document goes is a pure function of its words and the seed, so that a corpus may grow or change
its order and every document stays where it was; duplicates, exact and near, go together. By position: the corpus is
one long text, its first part train, then validation, then test, as nanoGPT splits tinyshakespeare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glassbox.data.corpus import CorpusWriter, SplitSize, read_documents, split_size
from glassbox.data.documents import Document
from glassbox.data.duplicates import Fingerprint, duplicate_groups, fingerprint
from glassbox.errors import BadInput

NAMES = ("train", "validation", "test")

Boundary = Literal["line", "character"]
Progress = Callable[[int, int], None]
"""Called with how many documents of how many have been read; the corpus is read twice."""


class Shares(NamedTuple):
    """The parts of validation and test, each from 0 to below 1; train has the rest."""

    validation: float
    test: float

    def check(self) -> None:
        """Raises BadInput unless there is something left for train."""
        if not (0 <= self.validation < 1 and 0 <= self.test < 1 and self.validation + self.test < 1):
            raise BadInput(
                f"Shares of {self.validation:g} for validation and {self.test:g} for test leave nothing for train.",
                "Choose two shares from 0 to below 1 with a sum below 1, such as 0.05 and 0.05.",
            )

    @property
    def ends(self) -> tuple[float, float, float]:
        """Where train, validation and test end on the way from 0 to 1."""
        return 1 - self.validation - self.test, 1 - self.test, 1.0


@dataclass(frozen=True)
class SplitReport:
    """sizes: of each split. exact, near: documents that repeat an earlier one, word for word or nearly."""

    sizes: dict[str, SplitSize]
    exact_duplicates: int
    near_duplicates: int


def split_by_documents(
    source: Path, target: Path, shares: Shares, *, seed: int, similarity: float, progress: Progress
) -> SplitReport:
    """Split the corpus in `source` into the folder `target`, whole documents at a time.

    similarity: see `duplicate_groups`. Raises BadInput if a split with a share gets no document.
    """
    shares.check()
    total = split_size(source).documents
    groups = duplicate_groups(_fingerprints(source, total, progress), similarity)
    places = _split_numbers(groups.least, shares, seed)
    _require_all(shares, [int(np.sum(places == number)) for number in range(len(NAMES))], total)
    with _Writers(target, shares) as writers:
        for number, document in enumerate(read_documents(source)):
            writers.append(int(places[number]), document)
            progress(total + number + 1, 2 * total)
    return SplitReport(writers.sizes(), groups.exact, groups.near)


def split_by_position(
    source: Path, target: Path, shares: Shares, *, boundary: Boundary, similarity: float, progress: Progress
) -> SplitReport:
    """Split the corpus in `source` into the folder `target` as one long text, at shares of its characters.

    boundary: "character" cuts exactly there, "line" behind the line that a cut would fall into. Duplicates are counted,
    but not kept together. Raises BadInput if a split with a share gets nothing.
    """
    shares.check()
    total = split_size(source).documents
    characters = 0

    def counted() -> Iterator[Fingerprint]:
        nonlocal characters
        for number, document in enumerate(read_documents(source)):
            characters += len(document.text)
            progress(number + 1, 2 * total)
            yield fingerprint(document.text)

    groups = duplicate_groups(counted(), similarity)
    ends = [int(characters * end) for end in shares.ends[:2]]
    with _Writers(target, shares) as writers:
        place, position = 0, 0
        for number, document in enumerate(read_documents(source)):
            rest = document.text
            while place < 2 and position + len(rest) > ends[place]:
                cut = max(0, ends[place] - position)
                if boundary == "line" and cut and rest[cut - 1] != "\n":
                    cut = rest.find("\n", cut) + 1 or len(rest)
                writers.append(place, Document(rest[:cut], document.source))
                rest, position = rest[cut:], position + cut
                place += 1
            writers.append(place, Document(rest, document.source))
            position += len(rest)
            progress(total + number + 1, 2 * total)
        _require_all(shares, [size.documents for size in writers.sizes(all_of_them=True).values()], total)
    return SplitReport(writers.sizes(), groups.exact, groups.near)


def _fingerprints(source: Path, total: int, progress: Progress) -> Iterator[Fingerprint]:
    for number, document in enumerate(read_documents(source)):
        progress(number + 1, 2 * total)
        yield fingerprint(document.text)


def _split_numbers(keys: NDArray[np.uint64], shares: Shares, seed: int) -> NDArray[np.int64]:
    """For each key the number of its split: its hash with the seed is a place between 0 and 1."""
    prefix = hashlib.blake2b(f"split/{seed}/".encode(), digest_size=8)

    def place(key: bytes) -> int:
        hashed = prefix.copy()
        hashed.update(key)
        return int.from_bytes(hashed.digest())

    data = keys.astype("<u8").tobytes()
    places = np.fromiter((place(data[i : i + 8]) for i in range(0, len(data), 8)), np.uint64, len(keys))
    # 53 bits, because that many a float holds: a place of 1 would lie behind the last split.
    return np.searchsorted(np.array(shares.ends[:2]), (places >> np.uint64(11)) / 2.0**53, side="right")


def _require_all(shares: Shares, documents: list[int], total: int) -> None:
    wanted = (True, shares.validation > 0, shares.test > 0)
    for name, share, count in zip(NAMES, wanted, documents, strict=True):
        if share and not count:
            raise BadInput(
                f"Nothing of the corpus's {total:,} documents fell into the split {name}.",
                "Choose a larger share or another seed, collect more documents, or split by position.",
            )


class _Writers:
    """A writer for each split that has a share."""

    def __init__(self, folder: Path, shares: Shares) -> None:
        self._stack = ExitStack()
        wanted = (True, shares.validation > 0, shares.test > 0)
        self._writers = [CorpusWriter(folder, name) if want else None for name, want in zip(NAMES, wanted, strict=True)]

    def append(self, place: int, document: Document) -> None:
        """Add the document to the split of that number; nothing happens for an empty piece."""
        writer = self._writers[place]
        if document.text:
            assert writer is not None, f"a document fell into {NAMES[place]}, which has no share"
            writer.append(document)

    def sizes(self, all_of_them: bool = False) -> dict[str, SplitSize]:
        return {
            name: SplitSize(writer.documents, writer.text_bytes) if writer else SplitSize(0, 0)
            for name, writer in zip(NAMES, self._writers, strict=True)
            if writer or all_of_them
        }

    def __enter__(self) -> _Writers:
        for writer in self._writers:
            if writer:
                self._stack.enter_context(writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)
