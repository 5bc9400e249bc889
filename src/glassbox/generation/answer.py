"""One answer in the making: ids go in, pieces of text come out, and with the last one the reason why it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glassbox.generation.likelihood import Likelihood
from glassbox.generation.settings import Decoding
from glassbox.generation.text import TextStream, spelled
from glassbox.tokenizers import Tokenizer

Finish = Literal["length", "end", "stop", "context"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of one answer. Its text may be empty: a character or a stop text may be in the making.

    finish: why the answer ends with this token: max_tokens reached (length), an end token (end), a stop text (stop),
            a full context (context); None when it goes on.
    """

    row: int
    id: int
    text: str
    likelihood: Likelihood | None
    finish: Finish | None


class Answer:
    """Turns the ids chosen for one prompt into pieces, until one of them has a finish.

    row: written on the pieces. prompt_tokens: ids before the answer. context: of the model, in tokens.
    """

    def __init__(self, row: int, prompt_tokens: int, decoding: Decoding, tokenizer: Tokenizer, context: int) -> None:
        self._row = row
        self._tokenizer = tokenizer
        self._end_tokens = decoding.end_tokens
        self._text = TextStream(decoding.stop)
        self._left = decoding.max_tokens
        self._room = context - prompt_tokens if decoding.at_limit == "stop" else None  # None: it slides on

    def add(self, token: int, likelihood: Likelihood | None) -> Piece:
        """The piece of the next id."""
        self._left -= 1
        if self._room is not None:
            self._room -= 1
        text, finish = "", self._finish(token)
        if finish != "end":
            text = self._text.add(spelled(self._tokenizer, token))
            if self._text.stopped:
                finish = "stop"
        if finish:
            text += self._text.end()
        return Piece(self._row, token, text, likelihood, finish)

    def _finish(self, token: int) -> Finish | None:
        """Why the answer ends with this id, whatever its text."""
        if token in self._end_tokens:
            return "end"
        if self._left == 0:
            return "length"
        if self._room is not None and self._room <= 0:
            return "context"
        return None
