"""Which documents are the same, or nearly: MinHash with banding.

A document is taken as the set of its runs of five words. Two documents' similarity is the Jaccard index of their sets,
and the share of equal places in two MinHash signatures estimates it (Broder, "On the resemblance and containment of
documents", 1997). Signatures are cut into bands; only documents that agree in a whole band are compared, so the work
grows with the number of documents and not with its square (Leskovec and others, "Mining of massive datasets", 3.4).

With 32 bands of 4, a pair with a similarity of 0.8 escapes comparison with a probability of 5e-8. A document costs 256
bytes of memory for its signature, and about 150 for finding its group.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RUN = 5
PIECE = 2**20
BANDS = 32
ROWS = 4
PLACES = BANDS * ROWS
FEWEST_WORDS = 4 * RUN
"""Documents of fewer words are duplicates only when all their words are the same: one name isn't another misspelt."""

NEIGHBOURS = 16
"""In a band that many documents share, each is compared with this many after it, in the corpus's order."""

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""A run of letters and digits, or one character of a script that is written without spaces."""

Signatures = NDArray[np.uint16]


class Fingerprint(NamedTuple):
    """exact: 64-bit hash of the words, in order. signature: (PLACES,) uint16, or None for a short document."""

    exact: int
    signature: Signatures | None


class Groups(NamedTuple):
    """Documents that are duplicates of one another, directly or by way of others, are one group.

    first: (documents,) the number of the first document in each one's group; its own if it has no earlier duplicate.
    least: (documents,) uint64, the least `exact` hash in each one's group, which no order of documents changes.
    exact: how many documents repeat an earlier one word for word. near: how many others are nearly an earlier one.
    """

    first: NDArray[np.int64]
    least: NDArray[np.uint64]
    exact: int
    near: int


def _constants(name: str, count: int) -> NDArray[np.uint64]:
    """Odd numbers of 64 bits from a hash, which unlike a library's random numbers are the same for ever."""
    return np.frombuffer(hashlib.shake_256(name.encode()).digest(8 * count), "<u8").astype(np.uint64) | np.uint64(1)


_MULTIPLIERS = _constants("minhash multipliers", PLACES)
_ADDENDS = _constants("minhash addends", PLACES)
_RUN_WEIGHTS = _constants("minhash runs", RUN)
_BAND_WEIGHTS = _constants("minhash bands", ROWS)


def fingerprint(text: str) -> Fingerprint:
    """What documents are compared by. Case, spacing and punctuation don't count, unless there is nothing else."""
    exact = hashlib.blake2b(digest_size=8)
    pieces: list[NDArray[np.uint64]] = []
    for piece in _pieces(text):
        words = [word.encode() for word in WORD.findall(piece.casefold())]
        exact.update(b"".join(word + b" " for word in words))
        pieces.append(np.fromiter(map(zlib.crc32, words), np.uint64, len(words)))
    hashes = np.concatenate(pieces)
    if not len(hashes):
        exact.update(text.encode())
    if len(hashes) < FEWEST_WORDS:
        return Fingerprint(int.from_bytes(exact.digest()), None)
    runs = np.zeros(len(hashes) - RUN + 1, np.uint64)
    for place, weight in enumerate(_RUN_WEIGHTS):
        runs += hashes[place : place + len(runs)] * weight
    return Fingerprint(int.from_bytes(exact.digest()), _signature(runs ^ (runs >> np.uint64(31))))


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of about PIECE characters that end with a line: a large text has too many words at once."""
    start = 0
    while start < len(text) or not start:
        end = text.find("\n", start + PIECE) + 1 or len(text) + 1
        yield text[start:end]
        start = end


def _signature(runs: NDArray[np.uint64]) -> Signatures:
    """(PLACES,): for each of PLACES random orders of all possible runs, 16 bits of the least run in it."""
    least = np.full(PLACES, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(runs), 512):  # pieces small enough for the processor's cache
        hashed = _MULTIPLIERS[:, None] * runs[start : start + 512] + _ADDENDS[:, None]  # (PLACES, runs)
        np.minimum(least, hashed.min(axis=1), out=least)
    return (least >> np.uint64(32)).astype(np.uint16)


def duplicate_groups(fingerprints: Iterable[Fingerprint], similarity: float) -> Groups:
    """Group the documents of which these are the fingerprints.

    similarity: the Jaccard index, from 0.7 to 1, from which on two documents are near-duplicates; 1 leaves only exact
    ones. The estimate is met with a tolerance of four standard deviations towards calling a pair duplicates.
    """
    exact, numbers = array("Q"), array("Q")
    signatures = bytearray()
    seen: set[int] = set()
    for number, (hashed, signature) in enumerate(fingerprints):
        exact.append(hashed)
        if signature is not None and similarity < 1 and hashed not in seen:
            seen.add(hashed)
            numbers.append(number)
            signatures += signature.tobytes()
    hashes = np.frombuffer(exact, np.uint64)
    _, firsts, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    first = firsts.astype(np.int64)[inverse]
    repeats = len(hashes) - len(firsts)
    near = 0
    if signatures:
        joined = _Joined(len(numbers))
        enough = similarity - 4 * (similarity * (1 - similarity) / PLACES) ** 0.5
        for left, right in _similar_pairs(np.frombuffer(signatures, np.uint16).reshape(-1, PLACES), enough):
            near += joined.join(left, right)
        leaders = np.arange(len(hashes))
        compared = np.frombuffer(numbers, np.uint64).astype(np.int64)
        leaders[compared] = compared[joined.roots()]
        first = leaders[first]
    least = np.full(len(hashes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, first, hashes)
    return Groups(first, least[first], repeats, near)


def _similar_pairs(signatures: Signatures, enough: float) -> Iterator[tuple[int, int]]:
    """Pairs of rows that agree in some band and, taken whole, in the share `enough` of their places."""
    for band in range(BANDS):
        places = signatures[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)  # (documents, ROWS)
        keys = (places * _BAND_WEIGHTS).sum(axis=1)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        for distance in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(keys[distance:] == keys[:-distance])
            if not len(same):
                break
            for start in range(0, len(same), 65_536):
                left, right = order[same[start : start + 65_536]], order[same[start : start + 65_536] + distance]
                close = (signatures[left] == signatures[right]).mean(axis=1) >= enough
                yield from zip(left[close].tolist(), right[close].tolist(), strict=True)


class _Joined:
    """Disjoint sets of the numbers below `size`; a set's root is its least member."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, number: int) -> int:
        while (parent := self._parent[number]) != number:
            self._parent[number] = self._parent[parent]
            number = parent
        return number

    def join(self, left: int, right: int) -> bool:
        """Whether the two weren't together before."""
        left, right = self.root(left), self.root(right)
        self._parent[max(left, right)] = min(left, right)
        return left != right

    def roots(self) -> list[int]:
        return [self.root(number) for number in range(len(self._parent))]
