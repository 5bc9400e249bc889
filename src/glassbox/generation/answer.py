"""One answer in the making: ids go in, pieces of text come out, and with the last one the reason why it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from glassbox.generation.ending import Ending, Finish
from glassbox.generation.likelihood import Likelihood
from glassbox.generation.settings import Decoding
from glassbox.generation.text import TextStream, spelled
from glassbox.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of one answer. Its text may be empty: a character or a stop text may be in the making.

    finish: why the answer ends with this token (see `Ending`); None when it goes on.
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
        self._ending = Ending(prompt_tokens, replace(decoding, stop=()), tokenizer, context)  # the text finds those
        self._text = TextStream(decoding.stop)

    def add(self, token: int, likelihood: Likelihood | None) -> Piece:
        """The piece of the next id."""
        finish = self._ending.after(token)
        text = "" if finish == "end" else self._text.add(spelled(self._tokenizer, token))
        if self._text.stopped:
            finish = "stop"
        if finish:
            text += self._text.end()
        return Piece(self._row, token, text, likelihood, finish)
