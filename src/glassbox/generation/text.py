"""From the bytes of tokens to text that can be shown at once."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from glassbox.errors import BadInput
from glassbox.tokenizers import Tokenizer


def spelled(tokenizer: Tokenizer, token: int) -> bytes:
    """The bytes that an id adds to a text: none where the model knows more ids than its tokenizer.

    Many published models have their vocabulary filled up to a round number; nothing keeps them from drawing such an id.
    """
    try:
        return tokenizer.continuing_bytes(token)
    except BadInput:
        return b""


class TextStream:
    """Turns the bytes of one answer, token by token, into pieces of text.

    A piece never ends within a character, and never holds what may turn out to be the beginning of a stop text.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stop = tuple(stop)
        self._longest = max(map(len, stop), default=1) - 1
        self._beginnings = {text[:size] for text in stop for size in range(1, len(text))}
        self._bytes = b""  # of a character that isn't complete
        self._held = ""

    def add(self, token: bytes) -> str:
        """The text that is certain now. With a stop text in it, all before the first one, and `stopped` is set."""
        received = self._bytes + token
        text, used = codecs.utf_8_decode(received, "replace", False)
        self._bytes = received[used:]
        if not self._stop:
            return text
        text = self._held + text
        self._held = ""
        ends = [at for at in map(text.find, self._stop) if at >= 0]
        if ends:
            self.stopped = True
            return text[: min(ends)]
        certain = len(text) - self._may_begin_stop(text)
        self._held = text[certain:]
        return text[:certain]

    def end(self) -> str:
        """What was held back; a character that was never finished is U+FFFD."""
        rest, self._held, self._bytes = self._held + self._bytes.decode(errors="replace"), "", b""
        return "" if self.stopped else rest

    def _may_begin_stop(self, text: str) -> int:
        """Characters at the end of the text that a stop text begins with: of all fits, the longest."""
        for size in range(min(len(text), self._longest), 0, -1):
            if text[-size:] in self._beginnings:
                return size
        return 0
