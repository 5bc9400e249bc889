"""How well a vocabulary fits a corpus: compression, fertility, coverage, what is never used; of all and by source.

bytes per token   compression: how much text an id carries.
tokens per word   fertility (Rust et al. 2021, "How Good is Your Tokenizer?"), words being what blanks part. It is high
                  where a language or a domain was rare in what the tokenizer learned from.
unknown           characters that the vocabulary lacks, for kinds that have such.
split characters  tokens that are part of a character: the vocabulary spells it byte by byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from glassbox.errors import BadInput
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.tokenizers.digits import WORDS, DigitTokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer
from glassbox.tokenizers.interface import Tokenizer

GROUPS: Mapping[str, Callable[[str], str]] = {
    "source": lambda source: source,
    "folder": lambda source: source.rpartition("/")[0] or source,
    "first-part": lambda source: source.partition("/")[0],
}
"""What a document's source may be counted under."""

AT_ONCE = 1_000  # documents, or fewer when they are long
CHARACTERS_AT_ONCE = 4_000_000


@dataclass
class Counts:
    """What was counted over some documents."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    unknown: int = 0
    split_characters: int = 0

    @property
    def bytes_per_token(self) -> float | None:
        return self.bytes / self.tokens if self.tokens else None

    @property
    def tokens_per_word(self) -> float | None:
        return self.tokens / self.words if self.words else None

    @property
    def coverage(self) -> float | None:
        """Share of the characters that the vocabulary knows."""
        return 1 - self.unknown / self.characters if self.characters else None

    def add(self, other: Counts) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Statistics:
    """by_source: the same counts of each group of documents. uses: how often each id was used, (vocabulary,).
    token_lengths: bytes -> tokens of that length, as they were used. document_lengths: tokens -> documents."""

    vocabulary_size: int
    total: Counts = field(default_factory=Counts)
    by_source: dict[str, Counts] = field(default_factory=dict[str, Counts])
    uses: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    token_lengths: Counter[int] = field(default_factory=Counter[int])
    document_lengths: Counter[int] = field(default_factory=Counter[int])
    special: frozenset[int] = frozenset()

    @property
    def unused(self) -> list[int]:
        """The ids that no document needed, special tokens apart."""
        return [id for id in np.flatnonzero(self.uses == 0).tolist() if id not in self.special]


def measure(
    tokenizer: Tokenizer,
    documents: Iterable[tuple[str, str]],
    *,
    group: Callable[[str], str] = lambda source: source,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Encode every document, (text, source), and count. Memory doesn't grow with their number.

    group: what a source is counted under. progress: is called with the documents done so far.
    Raises BadInput where there are no documents.
    """
    known = _Knowledge(tokenizer)
    found = Statistics(tokenizer.vocabulary_size, uses=np.zeros(tokenizer.vocabulary_size, np.int64))
    found.special = frozenset(tokenizer.special_tokens.values())
    for batch in _batches(documents):
        texts, missing = zip(*(known.encodable(text) for text, _ in batch), strict=True)
        encoded = tokenizer.encode_arrays(texts)
        for (text, source), ids, lacking in zip(batch, encoded, missing, strict=True):
            counted = known.count(text, ids, lacking)
            found.total.add(counted)
            found.by_source.setdefault(group(source), Counts()).add(counted)
            found.document_lengths[len(ids)] += 1
        found.uses += np.bincount(np.concatenate(encoded), minlength=len(found.uses))
        if progress:
            progress(found.total.documents)
    if not found.total.documents:
        raise BadInput("There is no document to measure.", "Choose a corpus, or a split of it, that has some.")
    for length, uses in zip(known.lengths.tolist(), found.uses.tolist(), strict=True):
        if uses:
            found.token_lengths[length] += uses
    return found


class _Knowledge:
    """What has to be known of each id, and of the characters that there is none for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._unknown = tokenizer.unknown if isinstance(tokenizer, HuggingFaceTokenizer) else None
        spelled = [self._bytes(id) for id in range(tokenizer.vocabulary_size)]
        self.lengths = np.array([len(data) for data in spelled])
        self._broken = np.array([not _is_text(data) for data in spelled])
        self._characters = frozenset(tokenizer.characters) if isinstance(tokenizer, CharacterTokenizer) else None

    def encodable(self, text: str) -> tuple[str, int]:
        """The text without what the vocabulary lacks, and how many characters that was."""
        if self._characters is not None and not self._characters.issuperset(text):
            kept = "".join(filter(self._characters.__contains__, text))
            return kept, len(text) - len(kept)
        if isinstance(self._tokenizer, DigitTokenizer):
            words = text.split()
            kept = [word for word in words if word in WORDS and word not in self._tokenizer.special_tokens]
            return " ".join(kept), sum(map(len, words)) - sum(map(len, kept))
        return text, 0

    def count(self, text: str, ids: NDArray[np.uint32], lacking: int) -> Counts:
        if self._unknown is not None and (ids == self._unknown).any():
            assert isinstance(self._tokenizer, HuggingFaceTokenizer)
            spans = self._tokenizer.character_spans(text)
            lacking = sum(end - start for id, (start, end) in zip(ids, spans, strict=True) if id == self._unknown)
        return Counts(
            documents=1,
            characters=len(text),
            bytes=len(text.encode()),
            words=len(text.split()),
            tokens=len(ids),
            unknown=lacking,
            split_characters=int(self._broken[ids].sum()),
        )

    def _bytes(self, id: int) -> bytes:
        try:
            return self._tokenizer.token_bytes(id)
        except BadInput:  # a gap in the ids
            return b""


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _batches(documents: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Documents in groups that fit into memory, whatever their lengths."""
    stream = iter(documents)
    while batch := list(islice(stream, 1)):
        characters = len(batch[0][0])
        while len(batch) < AT_ONCE and characters < CHARACTERS_AT_ONCE and (more := next(stream, None)) is not None:
            batch.append(more)
            characters += len(more[0])
        yield batch


def histogram(lengths: Mapping[int, int], bins: int = 16) -> list[tuple[int, int, int]]:
    """Lengths in at most so many ranges of equal width: (from, to, how many), from the shortest to the longest."""
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    width = max(1, -(-(high - low + 1) // bins))
    counts = [0] * (-(-(high - low + 1) // width))
    for length, count in lengths.items():
        counts[(length - low) // width] += count
    return [
        (low + place * width, min(high, low + (place + 1) * width - 1), count) for place, count in enumerate(counts)
    ]
