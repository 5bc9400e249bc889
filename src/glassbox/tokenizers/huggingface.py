"""Any Hugging Face `tokenizer.json` behind our interface: WordPiece, Unigram, SentencePiece, other splittings.

What Hugging Face's library does with special tokens differs from ours: it finds them in any text. Here they are found
only if the caller allows it, and ids that a template would add (`[CLS]`) are left to whoever builds the sequence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from glassbox.errors import BadInput
from glassbox.tokenizers.byte_alphabet import from_symbols
from glassbox.tokenizers.interface import END_OF_TEXT, Tokenizer, check_text, unknown_id
from glassbox.tokenizers.saved_files import DESCRIPTION, TOKENIZER_JSON

ENDS_OF_TEXT = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|end▁of▁sentence|>", "[SEP]")
"""How well-known models spell the token that parts documents."""

LARGEST_ID = 1 << 24  # no real vocabulary comes near; a damaged file could ask for an embedding of any size


class HuggingFaceTokenizer(Tokenizer):
    """A tokenizer that Hugging Face's library runs. `content` is that of a tokenizer.json.

    Raises BadInput if the library can't read it.
    """

    def __init__(self, content: str, source: str = "tokenizer.json") -> None:
        self._content = content
        with _told_as_bad_input(f"{source} isn't a tokenizer that Hugging Face's library can read"):
            self._library = _read(content)
            self._library.encode_special_tokens = True  # their spelling is ordinary text
        tokens = self._library.get_vocab(with_added_tokens=True)
        added = self._library.get_added_tokens_decoder()
        self._spelling_of = {id: spelling for spelling, id in tokens.items()}
        if not tokens or max(self._spelling_of) > LARGEST_ID:
            raise BadInput(
                f"{source} has {'an id of ' + str(max(self._spelling_of)) if tokens else 'an empty vocabulary'}.",
                "Copy the tokenizer again; it seems to be damaged.",
            )
        self._added = {id: token.content for id, token in added.items()}
        self.special_tokens = {token.content: id for id, token in sorted(added.items()) if token.special}
        known = (self.special_tokens[spelling] for spelling in ENDS_OF_TEXT if spelling in self.special_tokens)
        self.end_of_text = next(known, None)
        with _told_as_bad_input(f"{source} can't encode a letter"):
            self.beginning = _beginning(self._library)
        self._continuing: dict[int, bytes] = {}
        self._decoders = set(_types(json.loads(content).get("decoder")))

    @classmethod
    def from_tokenizer_json(cls, path: Path) -> HuggingFaceTokenizer:
        """The tokenizer in a tokenizer.json. Raises BadInput if the file is missing or damaged."""
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise BadInput(f"{path} can't be read: {error.strerror}.", "Check the path and its permissions.") from None
        except UnicodeDecodeError:
            raise BadInput(f"{path} isn't UTF-8 text.", "Copy the tokenizer again.") from None

    @property
    def vocabulary_size(self) -> int:
        """The largest id and one: some vocabularies have gaps, which a model's embedding has too."""
        return max(self._spelling_of) + 1

    def encode_ordinary(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return _encode(self._library, texts)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        return _encode(self._finding_special_tokens, [text])[0] if allow_special else self.encode_ordinary(text)

    def character_spans(self, text: str, *, allow_special: bool = False) -> list[tuple[int, int]]:
        """Where each token of `encode` stands in the text, as the places of its characters, first and behind last."""
        check_text(text)
        library = self._finding_special_tokens if allow_special else self._library
        with _told_as_bad_input("This tokenizer can't encode the text"):
            return library.encode(text, add_special_tokens=False).offsets

    def split(self, text: str) -> list[str]:
        """The pieces of a text that the model is given one by one, spelled as in its vocabulary."""
        check_text(text)
        with _told_as_bad_input("This tokenizer can't split the text"):
            normalized = self._library.normalizer.normalize_str(text) if self._library.normalizer else text
            if self._library.pre_tokenizer is None:
                return [normalized] if normalized else []
            return [piece for piece, _ in self._library.pre_tokenizer.pre_tokenize_str(normalized)]

    @property
    def unknown(self) -> int | None:
        """The id that stands for text outside of the vocabulary, or None where there is no such text."""
        model = json.loads(self._content)["model"]
        if model.get("type") == "Unigram":
            return model.get("unk_id")
        return self._library.token_to_id(model["unk_token"]) if model.get("unk_token") else None

    @cached_property
    def _finding_special_tokens(self) -> tokenizers.Tokenizer:
        return _read(self._content)

    def token_bytes(self, token: int) -> bytes:
        if token not in self._spelling_of:
            raise unknown_id(token, self.vocabulary_size)
        if token in self._added:
            return self._added[token].encode()
        spelling = self._spelling_of[token]
        if "ByteLevel" in self._decoders:
            return from_symbols(spelling)
        if "ByteFallback" in self._decoders and _is_byte(spelling):
            return bytes([int(spelling[3:-1], 16)])
        return self._library.decode([token], skip_special_tokens=False).encode()

    def continuing_bytes(self, token: int) -> bytes:
        """SentencePiece and WordPiece mark where words begin, and drop the space before the first word of a text."""
        if token not in self._continuing:
            self._continuing[token] = self._behind_itself(token)
        return self._continuing[token]

    def _behind_itself(self, token: int) -> bytes:
        """What a second token of the same id adds to the text of the first."""
        alone = self.token_bytes(token)
        if "ByteLevel" in self._decoders or ("ByteFallback" in self._decoders and _is_byte(self._spelling_of[token])):
            return alone
        first, both = (self._library.decode([token] * count, skip_special_tokens=False).encode() for count in (1, 2))
        return both[len(first) :] if both.startswith(first) else alone

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        ids = list(ids)
        if "ByteLevel" in self._decoders:
            return b"".join(map(self.token_bytes, ids))
        for token in ids:
            if token not in self._spelling_of:
                raise unknown_id(token, self.vocabulary_size)
        return self._library.decode(ids, skip_special_tokens=False).encode()

    def to_tokenizer_json(self) -> str:
        return self._content

    def save(self, folder: Path) -> None:
        (folder / TOKENIZER_JSON).write_text(self._content, encoding="utf-8")
        (folder / DESCRIPTION).write_text(json.dumps({"type": "huggingface"}), encoding="utf-8")


def _read(content: str) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer.from_str(content)
    library.no_truncation()
    library.no_padding()
    return library


def _is_byte(spelling: str) -> bool:
    """Is this a byte's spelling in SentencePiece, such as <0xE2>?"""
    return spelling.startswith("<0x")


def _beginning(library: tokenizers.Tokenizer) -> tuple[int, ...]:
    """What the tokenizer's template puts before a text."""
    bare, whole = (library.encode("a", add_special_tokens=added).ids for added in (False, True))
    starts = range(len(whole) - len(bare) + 1)
    return tuple(whole[: next((start for start in starts if whole[start : start + len(bare)] == bare), 0)])


def _encode(library: tokenizers.Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    for text in texts:
        check_text(text)
    with _told_as_bad_input("This tokenizer can't encode the text"):
        return [encoding.ids for encoding in library.encode_batch_fast(list(texts), add_special_tokens=False)]


def _types(part: Any) -> Iterator[str]:
    """The type of a part of a tokenizer.json and of all parts within it."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _types(inner)


@contextmanager
def _told_as_bad_input(problem: str) -> Iterator[None]:
    """Turn what the library raises, a Rust panic among it, into BadInput."""
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise
        raise BadInput(f"{problem}: {error}.", "Check that the tokenizer.json is whole and fits the text.") from None
