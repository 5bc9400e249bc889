"""One id for each character: the smallest tokenizer there is, as in microgpt and nanoGPT's Shakespeare.

The characters of the corpus, sorted, are ids 0, 1, 2 …; the special tokens come after them. By default that is one,
`<|bos|>`, which microgpt puts before and after each document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.tokenizers import tokenizer_json
from glassbox.tokenizers.interface import Tokenizer, check_special_tokens, check_text, unknown_id
from glassbox.tokenizers.saved_files import DESCRIPTION

BEGINNING = "<|bos|>"


class CharacterTokenizer(Tokenizer):
    """Knows the characters it was given, and raises BadInput for any other. The first special token parts documents."""

    def __init__(self, characters: Iterable[str], special_tokens: Sequence[str] = (BEGINNING,)) -> None:
        check_special_tokens(special_tokens)
        self.characters = "".join(sorted(set(characters)))
        check_text(self.characters)
        if not self.characters:
            raise BadInput("A character tokenizer needs at least one character.", "Give it a text that isn't empty.")
        if clash := set(self.characters).intersection(special_tokens):
            raise BadInput(
                f"The special token {min(clash)!r} is also a character of the text.",
                f"Choose a longer spelling, such as <|{min(clash)}|>.",
            )
        self.special_tokens = {spelling: id for id, spelling in enumerate(special_tokens, start=len(self.characters))}
        self.end_of_text = len(self.characters) if special_tokens else None
        self._id_of = {character: id for id, character in enumerate(self.characters)}
        self._text_of = dict(enumerate([*self.characters, *special_tokens]))

    @classmethod
    def train(cls, documents: Iterable[str], special_tokens: Sequence[str] = (BEGINNING,)) -> CharacterTokenizer:
        """The tokenizer of all characters in the documents, which are read as a stream. Raises BadInput without any."""
        characters: set[str] = set()
        for document in documents:
            characters.update(document)
        if not characters:
            raise BadInput("The corpus is empty: it holds no character.", "Collect a corpus with text in it.")
        return cls(characters, special_tokens)

    @property
    def vocabulary_size(self) -> int:
        return len(self._text_of)

    def encode_ordinary(self, text: str) -> list[int]:
        try:
            return list(map(self._id_of.__getitem__, text))
        except KeyError as error:
            character: str = error.args[0]
            raise BadInput(
                f"Character {text.index(character) + 1:,} of the text is {character!r} (U+{ord(character):04X}), "
                f"which isn't among the {len(self.characters):,} that this tokenizer knows.",
                "Train it on text that has this character, or use a byte-pair tokenizer, which knows every text.",
            ) from None

    def token_bytes(self, token: int) -> bytes:
        try:
            return self._text_of[token].encode()
        except KeyError:
            raise unknown_id(token, self.vocabulary_size) from None

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        try:
            return "".join(map(self._text_of.__getitem__, ids)).encode()
        except KeyError as error:
            raise unknown_id(error.args[0], self.vocabulary_size) from None

    def to_tokenizer_json(self) -> str:
        content = tokenizer_json.write_characters(self._id_of, self.special_tokens)
        return json.dumps(content, ensure_ascii=False, indent=1)

    def save(self, folder: Path) -> None:
        description = {
            "type": "characters",
            "characters": self.characters,
            "special_tokens": list(self.special_tokens),
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def from_description(cls, description: Mapping[str, Any], source: Path) -> CharacterTokenizer:
        """The tokenizer that `save` described. Raises BadInput, naming `source`, if the description is damaged."""
        characters, special_tokens = description.get("characters"), description.get("special_tokens")
        if (
            isinstance(characters, str)
            and isinstance(special_tokens, list)
            and all(isinstance(spelling, str) for spelling in special_tokens)
            and characters == "".join(sorted(set(characters)))
        ):
            return cls(characters, special_tokens)
        raise BadInput(
            f"{source} should list the characters in order, each once, and the special tokens.",
            "Copy or train the tokenizer again.",
        )
