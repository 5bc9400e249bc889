"""The twenty words of the digit task, each an id; words are parted by blanks.

    Max ( 1 2 , 7 )  →  15 17 3 4 19 9 18

A number of two digits is two words, so that a model has to learn what tens are. The vocabulary is fixed: there is
nothing to train.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassbox.errors import BadInput
from glassbox.tokenizers.interface import Tokenizer, unknown_id
from glassbox.tokenizers.saved_files import DESCRIPTION

PADDING, END = 0, 1
FIRST_DIGIT = 2  # the id of the digit 0
WORDS = ("[PAD]", "[EOS]", *"0123456789", "First", "Second", "Last", "Max", "Min", "(", ")", ",")


def is_digit(ids: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Which of them stand for 0 to 9."""
    return (ids >= FIRST_DIGIT) & (ids < FIRST_DIGIT + 10)


class DigitTokenizer(Tokenizer):
    """Knows the words of `WORDS`, and raises BadInput for any other. Blanks around words don't count."""

    def __init__(self) -> None:
        self.special_tokens = {WORDS[PADDING]: PADDING, WORDS[END]: END}
        self.end_of_text = END
        self._id_of = {word: id for id, word in enumerate(WORDS) if word not in self.special_tokens}

    @property
    def vocabulary_size(self) -> int:
        return len(WORDS)

    def encode_ordinary(self, text: str) -> list[int]:
        words = text.split()
        try:
            return [self._id_of[word] for word in words]
        except KeyError as error:
            word: str = error.args[0]
            raise BadInput(
                f"Word {words.index(word) + 1:,} of the text is {word[:40]!a}, which the digit tokenizer doesn't know.",
                f"Part words by blanks and use these: {' '.join(self._id_of)}.",
            ) from None

    def token_bytes(self, token: int) -> bytes:
        if not 0 <= token < len(WORDS):
            raise unknown_id(token, len(WORDS))
        return WORDS[token].encode()

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The words with a blank between them."""
        return b" ".join(map(self.token_bytes, ids))

    def save(self, folder: Path) -> None:
        description = {"type": "digits", "words": list(WORDS)}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")

    @classmethod
    def from_description(cls, description: Mapping[str, Any], source: Path) -> DigitTokenizer:
        """The tokenizer that `save` described. Raises BadInput, naming `source`, if its words are other ones."""
        if description.get("words") != list(WORDS):
            raise BadInput(
                f"{source} should list the {len(WORDS)} words of the digit task in order.",
                "Copy the tokenizer again, or use the version of Glassbox that wrote it.",
            )
        return cls()
