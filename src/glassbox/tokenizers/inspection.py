"""How a text becomes tokens: each token with its id, its bytes and its place, and each merge on the way.

    inspect(tokenizer, "Hello world").tokens       # every token, whatever the kind of tokenizer
    inspect(tokenizer, "Hello world").pieces       # what merges don't cross, each with its merges one by one

A merge is shown where there is one: in our byte pairs, and in those that Hugging Face's library runs, which are done
again here and shown only if they end as the library's own tokens. WordPiece and Unigram don't merge, nor do characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from glassbox.tokenizers.bytepair import LONGEST_PIECE_SHOWN, BytePairTokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer
from glassbox.tokenizers.interface import Tokenizer


@dataclass(frozen=True)
class TokenView:
    """One token of a text.

    start, end: its bytes in the text's UTF-8; None where the tokenizer changed the text so that no place is known.
    special:    an id without text of its own.
    """

    id: int
    bytes: bytes
    start: int | None
    end: int | None
    special: bool

    @property
    def text(self) -> str:
        """The bytes as text; part of a character is U+FFFD."""
        return self.bytes.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Merge:
    """One merge within a piece.

    parts:      the piece before it, as bytes. candidates: the places of all pairs that could have been joined.
    place:      which of `parts` is joined with the one after it: the pair that was learned first.
    """

    parts: tuple[bytes, ...]
    candidates: tuple[int, ...]
    place: int

    @property
    def after(self) -> tuple[bytes, ...]:
        """The piece after it."""
        joined = self.parts[self.place] + self.parts[self.place + 1]
        return (*self.parts[: self.place], joined, *self.parts[self.place + 2 :])


@dataclass(frozen=True)
class PieceView:
    """What the splitting gives, such as a word with the blank before it; merges never cross its ends."""

    bytes: bytes
    tokens: tuple[bytes, ...]
    merges: tuple[Merge, ...]


@dataclass(frozen=True)
class Inspection:
    """tokens: in order. pieces: empty where the tokenizer doesn't merge, and of a text with special tokens."""

    text: str
    tokens: tuple[TokenView, ...]
    pieces: tuple[PieceView, ...]


def inspect(tokenizer: Tokenizer, text: str, *, allow_special: bool = False, merges: bool = True) -> Inspection:
    """merges: without them there are no pieces either, and a long text costs no more than its tokens.

    Raises BadInput for a text that the tokenizer can't encode.
    """
    ids = tokenizer.encode(text, allow_special=allow_special)
    special = set(tokenizer.special_tokens.values())
    spelled = [tokenizer.token_bytes(id) for id in ids]
    spans = _spans(tokenizer, text, spelled, allow_special=allow_special)
    tokens = tuple(
        TokenView(id, data, *span, id in special) for id, data, span in zip(ids, spelled, spans, strict=True)
    )
    ordinary = special.isdisjoint(ids)  # the splitting knows nothing of special tokens
    return Inspection(text, tokens, tuple(_pieces(tokenizer, text, ids)) if ordinary and merges else ())


def _spans(
    tokenizer: Tokenizer, text: str, spelled: Sequence[bytes], *, allow_special: bool
) -> list[tuple[int | None, int | None]]:
    """Where each token stands in the bytes of the text."""
    data = text.encode()
    if b"".join(spelled) == data:  # nothing was changed, so each begins where the one before ends
        ends = _running(len(piece) for piece in spelled)
        return list(pairwise([0, *ends]))
    if isinstance(tokenizer, HuggingFaceTokenizer):
        places = [0, *_running(len(character.encode()) for character in text)]  # of each character
        spans = tokenizer.character_spans(text, allow_special=allow_special)
        return [(places[start], places[end]) for start, end in spans]
    return _found_one_after_another(data, spelled)


def _found_one_after_another(data: bytes, spelled: Iterable[bytes]) -> list[tuple[int | None, int | None]]:
    """Of a tokenizer that leaves something out, such as blanks: each token at its first place behind the last one."""
    spans: list[tuple[int | None, int | None]] = []
    reached = 0
    for piece in spelled:
        place = data.find(piece, reached)
        spans.append((None, None) if place < 0 else (place, place + len(piece)))
        reached = max(reached, place + len(piece))
    return spans


def _running(lengths: Iterable[int]) -> list[int]:
    total, sums = 0, list[int]()
    for length in lengths:
        total += length
        sums.append(total)
    return sums


def _pieces(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> list[PieceView]:
    if isinstance(tokenizer, BytePairTokenizer):
        return [_our_piece(tokenizer, piece) for piece in tokenizer.pattern.split(text)]
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return _library_pieces(tokenizer, text, ids)
    return []


def _our_piece(tokenizer: BytePairTokenizer, piece: str) -> PieceView:
    data = piece.encode()
    steps = tokenizer.steps(piece) if len(data) <= LONGEST_PIECE_SHOWN else []
    merges = tuple(
        Merge(tuple(map(tokenizer.token_bytes, step.tokens)), tuple(place for place, _ in step.candidates), step.place)
        for step in steps
    )
    return PieceView(data, tuple(map(tokenizer.token_bytes, tokenizer.encode_ordinary(piece))), merges)


def _library_pieces(tokenizer: HuggingFaceTokenizer, text: str, ids: Sequence[int]) -> list[PieceView]:
    """The merges of a byte-pair tokenizer of Hugging Face's library, done again; none if they end otherwise."""
    model = json.loads(tokenizer.to_tokenizer_json())["model"]
    if model.get("type") != "BPE" or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return []
    vocabulary: dict[str, int] = model["vocab"]
    ranks = {_pair(pair): rank for rank, pair in enumerate(model["merges"])}
    pieces: list[PieceView] = []
    ended: list[int] = []
    for piece in tokenizer.split(text):
        if len(piece) > LONGEST_PIECE_SHOWN:
            return []
        symbols = _symbols(piece, vocabulary)
        whole = model.get("ignore_merges") and piece in vocabulary
        steps, final = ([], [piece]) if whole else _merge(symbols, ranks)
        if any(symbol not in vocabulary for symbol in final):
            return []
        ended += [vocabulary[symbol] for symbol in final]
        shown = {symbol: tokenizer.token_bytes(vocabulary[symbol]) for symbol in {*symbols, *final} & vocabulary.keys()}
        for parts, _, _ in steps:
            shown |= {part: tokenizer.token_bytes(vocabulary[part]) for part in parts if part in vocabulary}
        merges = tuple(Merge(tuple(shown[part] for part in parts), places, place) for parts, places, place in steps)
        tokens = tuple(shown[symbol] for symbol in final)
        pieces.append(PieceView(b"".join(tokens), tokens, merges))
    return pieces if ended == list(ids) else []


def _pair(pair: Any) -> tuple[str, str]:
    """Older files write a pair as one string with a blank in it."""
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return left, right


def _symbols(piece: str, vocabulary: Mapping[str, int]) -> list[str]:
    """The characters of a piece; one that isn't in the vocabulary as its bytes, where the vocabulary has those."""
    symbols: list[str] = []
    for character in piece:
        as_bytes = [f"<0x{byte:02X}>" for byte in character.encode()]
        known = character in vocabulary or any(byte not in vocabulary for byte in as_bytes)
        symbols += [character] if known else as_bytes
    return symbols


def _merge(
    symbols: Sequence[str], ranks: Mapping[tuple[str, str], int]
) -> tuple[list[tuple[tuple[str, ...], tuple[int, ...], int]], list[str]]:
    """Each step as (parts, candidates, place), and the end."""
    parts, steps = list(symbols), []
    while True:
        candidates = {place: ranks[pair] for place, pair in enumerate(pairwise(parts)) if pair in ranks}
        if not candidates:
            return steps, parts
        place = min(candidates, key=lambda place: (candidates[place], place))
        steps.append((tuple(parts), tuple(candidates), place))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
