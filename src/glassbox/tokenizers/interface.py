"""What every tokenizer can do, whatever its kind.

Special tokens (`<|endoftext|>`, the marks of a chat) are ids without text of their own. Text that merely spells one
out is ordinary text, unless the caller allows special tokens: otherwise anybody who can write a message could end
the document or speak in another role.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import regex

from glassbox.errors import BadInput

END_OF_TEXT = "<|endoftext|>"


class Tokenizer(ABC):
    """Turns text into ids and back. Ids run from 0 to `vocabulary_size` - 1."""

    special_tokens: Mapping[str, int]
    """Spelling and id of each special token."""

    end_of_text: int | None
    """The id that parts documents from one another when they are packed, or None if this tokenizer has none."""

    beginning: tuple[int, ...] = ()
    """Ids that stand before every text in the training of the model that this tokenizer came with, such as Llama's
    `<s>`; encoding leaves them to whoever builds the sequence."""

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """How many ids there are, special tokens included."""

    @abstractmethod
    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of `text`, in which the spelling of a special token is ordinary text.

        Raises BadInput if the text isn't Unicode (half of a surrogate pair) or, for some kinds, holds a character
        that the vocabulary lacks.
        """

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """The bytes of one id; a special token stands for its spelling. Raises BadInput for an unknown id."""

    def continuing_bytes(self, token: int) -> bytes:
        """What one id adds to a text that stands before it, for whoever shows an answer while it is being written.

        The same as `token_bytes`, but for kinds that drop a space where a text begins. Raises BadInput as it does.
        """
        return self.token_bytes(token)

    @abstractmethod
    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that the ids stand for, exactly. Raises BadInput for an unknown id."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything that `glassbox.tokenizers.load(folder)` needs into a folder that exists."""

    def to_tokenizer_json(self) -> str:
        """The content of a tokenizer.json that gives the same ids in Hugging Face's library.

        Raises BadInput for a kind that this library can't express.
        """
        raise BadInput(
            f"Hugging Face's library has nothing like a {type(self).__name__}.",
            "Export a model of a byte-pair or character tokenizer, or the model without its tokenizer.",
        )

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The ids of `text`; with `allow_special` the spelling of a special token becomes that token."""
        if not (allow_special and self.special_tokens):
            return self.encode_ordinary(text)
        ids: list[int] = []
        for index, part in enumerate(self._special_spelling.split(text)):  # ordinary and special parts take turns
            if index % 2:
                ids.append(self.special_tokens[part])
            elif part:
                ids += self.encode_ordinary(part)
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, special tokens not allowed, by the fastest way that gives the same ids as `encode`."""
        return [self.encode_ordinary(text) for text in texts]

    def encode_arrays(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        """As `encode_batch`, as one array for each text: what a writer of shards wants."""
        return [np.array(ids, dtype=np.uint32) for ids in self.encode_batch(texts)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids. Bytes that aren't UTF-8 (a token may end within a character) become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    @cached_property
    def _special_spelling(self) -> regex.Pattern[str]:
        """Finds the spelling of a special token; of two that begin at the same place, the longer one."""
        spellings = sorted(self.special_tokens, key=len, reverse=True)
        return regex.compile(f"({'|'.join(map(regex.escape, spellings))})")


def check_text(text: str) -> None:
    """Raise BadInput if `text` holds half of a surrogate pair, which no Unicode encoding can express."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"Character {error.start + 1:,} of the text is U+{ord(text[error.start]):04X}, half of a surrogate pair "
            "and no Unicode character.",
            "Repair the text where it was read: it was probably cut within an emoji, or isn't UTF-8.",
        ) from None


def check_special_tokens(special_tokens: Sequence[str]) -> None:
    """Raise BadInput for a special token that is empty, given twice, or no Unicode."""
    for spelling in special_tokens:
        if not spelling:
            raise BadInput("A special token is empty.", f"Give each a spelling, such as {END_OF_TEXT}.")
        check_text(spelling)
        if special_tokens.count(spelling) > 1:
            raise BadInput(f"The special token {spelling!r} is given twice.", "Name each special token once.")


def unknown_id(token: object, vocabulary_size: int) -> BadInput:
    """The error for an id that stands for nothing."""
    return BadInput(
        f"The id {token} isn't in this tokenizer's vocabulary of {vocabulary_size:,} ids.",
        "Decode with the tokenizer that made the ids.",
    )
