"""Byte-level BPE: any text, and any bytes, in tokens that were learned from a corpus.

The ids are: 256 single bytes (in the order of `byte_alphabet`), one for each merge, then the special tokens.
Training is in `bytepair_training`, the merging of one piece in `bytepair_merging`.

**Why `tiktoken` gives the same ids.** It knows no pairs, only tokens: it joins two neighbours if together they spell
any token, and takes a piece that is a token as it stands. We join only pairs that were learned. Both do the same as
long as every token, encoded alone, becomes itself. For let x and y be neighbours that spell a token t. No merge has
crossed the ends of x y so far, so between them everything has happened as if they stood alone. Alone they end as t, and
that takes a merge of x and y: it was learned.
Merges that were learned from text are always of this kind: when t was learned, its two halves stood in a text as they
would have stood alone. For merges from elsewhere `is_self_consistent` looks, and without it the fast path isn't taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from glassbox.errors import BadInput
from glassbox.tokenizers import tokenizer_json
from glassbox.tokenizers.byte_alphabet import BYTES_BY_ID, IDS_BY_BYTE, to_symbols
from glassbox.tokenizers.bytepair_merging import MergeStep, Pair, merge, merge_steps
from glassbox.tokenizers.interface import END_OF_TEXT, Tokenizer, check_special_tokens, check_text, unknown_id
from glassbox.tokenizers.saved_files import DESCRIPTION, TOKENIZER_JSON, read_json_object
from glassbox.tokenizers.splitting import GPT4, SplittingPattern

if TYPE_CHECKING:
    import tiktoken

PIECES_REMEMBERED = 200_000  # about 50 MB
LONGEST_PIECE_REMEMBERED = 64  # characters; longer ones hardly ever come back
LONGEST_PIECE_SHOWN = 1_000  # bytes
BLANKS_IN_A_ROW = 50_000  # at a million of them tiktoken's regular expressions overflow their stack


class BytePairTokenizer(Tokenizer):
    """Splits text by a pattern, and joins the bytes of each piece by merges in the order in which they were learned.

    `merges[k]` is the pair of ids that becomes id 256 + k. The first special token parts documents.
    Raises BadInput for merges of tokens that don't exist yet, for two merges that make the same token, and for special
    tokens spelled like ordinary ones.
    """

    def __init__(
        self,
        merges: Sequence[Pair],
        pattern: SplittingPattern = GPT4,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
    ) -> None:
        check_special_tokens(special_tokens)
        vocabulary = [bytes([byte]) for byte in BYTES_BY_ID]  # by id
        spelled = set(vocabulary)
        for left, right in merges:
            token = len(vocabulary)
            if not (0 <= left < token and 0 <= right < token):
                raise BadInput(
                    f"Merge {token - 256} joins the ids {left} and {right}, but by then only {token} exist.",
                    "Give the merges in the order in which they were learned.",
                )
            vocabulary.append(vocabulary[left] + vocabulary[right])
            spelled.add(vocabulary[-1])
            if len(spelled) == token:
                raise BadInput(
                    f"Merge {token - 256} makes {vocabulary[-1]!r}, which is a token already.",
                    "Give each merge once.",
                )
        if clash := {*map(to_symbols, vocabulary)}.intersection(special_tokens):  # one token in a tokenizer.json
            raise BadInput(
                f"The special token {min(clash)!r} is spelled like an ordinary token.",
                f"Choose a spelling that text doesn't have, such as <|{min(clash)}|>.",
            )
        self.merges = tuple(merges)
        self.pattern = pattern
        self.special_tokens = {spelling: id for id, spelling in enumerate(special_tokens, start=len(vocabulary))}
        self.end_of_text = len(vocabulary) if special_tokens else None
        self._made_by = {pair: 256 + rank for rank, pair in enumerate(merges)}
        self._ordinary = dict(enumerate(vocabulary))
        self._bytes_of = {**self._ordinary, **{id: name.encode() for name, id in self.special_tokens.items()}}
        self._remembered = _PieceMemory(self._made_by)

    @property
    def vocabulary_size(self) -> int:
        return len(self._bytes_of)

    # ---- encoding, in Python ----

    def encode_ordinary(self, text: str) -> list[int]:
        check_text(text)
        return self._encode_pieces(self.pattern.split(text))

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any bytes; `decode_bytes` gives them back. For UTF-8 the ids are those of the text."""
        # A byte that isn't UTF-8 becomes half of a surrogate pair, which no text holds, and a byte again when merging.
        return self._encode_pieces(self.pattern.split(data.decode("utf-8", errors="surrogateescape")))

    def _encode_pieces(self, pieces: Iterable[str]) -> list[int]:
        if len(self._remembered) > PIECES_REMEMBERED:
            self._remembered.clear()
        return list(chain.from_iterable(map(self._remembered.__getitem__, pieces)))

    def steps(self, piece: str) -> list[MergeStep]:
        """Every merge that turns a piece (one that `pattern.split` gives) into tokens, for showing how.

        Raises BadInput for a piece that is too long to be shown: each step keeps the whole piece.
        """
        check_text(piece)
        data = piece.encode()
        if len(data) > LONGEST_PIECE_SHOWN:
            raise BadInput(
                f"The piece has {len(data):,} bytes; steps are shown for up to {LONGEST_PIECE_SHOWN:,}.",
                "Show a part of it.",
            )
        return merge_steps(list(data.translate(IDS_BY_BYTE)), self._made_by)

    # ---- encoding, by tiktoken ----

    @cached_property
    def is_self_consistent(self) -> bool:
        """Whether every token, encoded alone, becomes itself, so that tiktoken gives the same ids (see above)."""
        return all(
            merge(list(data.translate(IDS_BY_BYTE)), self._made_by) == [token] for token, data in self._ordinary.items()
        )

    @cached_property
    def _tiktoken(self) -> tiktoken.Encoding:
        import tiktoken

        ranks = {data: token for token, data in self._ordinary.items()}
        return tiktoken.Encoding("glassbox", pat_str=self.pattern.expression, mergeable_ranks=ranks, special_tokens={})

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, by tiktoken where it gives the same ones."""
        if not self.is_self_consistent:
            return super().encode_batch(texts)
        encode = self._tiktoken.encode_ordinary
        ids: list[list[int]] = []
        for text in texts:
            check_text(text)
            ids.append(self.encode_ordinary(text) if has_endless_blanks(text) else encode(text))
        return ids

    # ---- decoding ----

    def token_bytes(self, token: int) -> bytes:
        try:
            return self._bytes_of[token]
        except KeyError:
            raise unknown_id(token, self.vocabulary_size) from None

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        try:
            return b"".join(map(self._bytes_of.__getitem__, ids))
        except KeyError as error:
            raise unknown_id(error.args[0], self.vocabulary_size) from None

    # ---- saving ----

    def to_tokenizer_json(self) -> str:
        parts = tokenizer_json.BytePairParts(list(self.merges), self.pattern, list(self.special_tokens))
        return json.dumps(tokenizer_json.write(parts), ensure_ascii=False, indent=1)

    @classmethod
    def from_tokenizer_json(cls, path: Path) -> BytePairTokenizer:
        """The tokenizer in a tokenizer.json. Raises BadInput if it is damaged or another kind of tokenizer."""
        parts = tokenizer_json.read(read_json_object(path), str(path))
        return cls(parts.merges, parts.pattern, parts.special_tokens)

    def save(self, folder: Path) -> None:
        (folder / TOKENIZER_JSON).write_text(self.to_tokenizer_json(), encoding="utf-8")
        (folder / DESCRIPTION).write_text(json.dumps({"type": "bytepair"}), encoding="utf-8")


class _PieceMemory(dict[str, tuple[int, ...]]):
    """The ids of pieces, worked out when a piece is seen for the first time."""

    def __init__(self, made_by: dict[Pair, int]) -> None:
        super().__init__()
        self._made_by = made_by

    def __missing__(self, piece: str) -> tuple[int, ...]:
        data = piece.encode("utf-8", errors="surrogateescape")
        ids = tuple(merge(list(data.translate(IDS_BY_BYTE)), self._made_by))
        if len(piece) <= LONGEST_PIECE_REMEMBERED:
            self[piece] = ids
        return ids


def has_endless_blanks(text: str) -> bool:
    """Whether the text holds a run of blanks over which tiktoken would break.

    Finds every run of 2 * `BLANKS_IN_A_ROW`, for it covers one of the stretches looked at, and none below that half.
    """
    starts = range(0, len(text) - BLANKS_IN_A_ROW + 1, BLANKS_IN_A_ROW)
    return any(text[start : start + BLANKS_IN_A_ROW].isspace() for start in starts)
