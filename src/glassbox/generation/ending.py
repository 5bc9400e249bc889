"""With which token an answer ends, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from glassbox.generation.settings import Decoding
from glassbox.generation.text import TextStream, spelled
from glassbox.tokenizers import Tokenizer

Finish = Literal["length", "end", "stop", "context"]

MOST_UNREAD = 4096  # bytes: to add to more and more would take longer and longer


class Ending:
    """Is told the ids of one answer, and says of each whether the answer ends with it:

    with an end token (end), a stop text (stop), max_tokens reached (length), or a full context (context).

    prompt_tokens: ids before the answer. context: of the model, in tokens.
    """

    def __init__(self, prompt_tokens: int, decoding: Decoding, tokenizer: Tokenizer, context: int) -> None:
        room = context - prompt_tokens if decoding.at_limit == "stop" else math.inf  # without end where it slides on
        self._left = min(decoding.max_tokens, room)
        self._at_limit: Finish = "length" if decoding.max_tokens <= room else "context"
        self._end_tokens = decoding.end_tokens
        self._stop = _StopTexts(decoding.stop, tokenizer) if decoding.stop else None

    def after(self, token: int) -> Finish | None:
        """Why the answer ends with this id, the next one; None where it goes on."""
        self._left -= 1
        if token in self._end_tokens:
            return "end"
        if self._stop is not None and self._stop.completed_by(token):
            return "stop"
        return self._at_limit if self._left <= 0 else None


class _StopTexts:
    """Finds the first of some texts in what the ids of one answer spell.

    Only a token that holds the last byte of a stop text can complete it. Most don't, and then there's nothing to look
    for: a server asks this of each token that it writes.
    """

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._text = TextStream(texts)
        self._last = {text.encode("utf-8", "surrogatepass")[-1] for text in texts}
        self._replaced = any("\ufffd" in text for text in texts)  # which stands for any byte that is no character
        self._unread = b""

    def completed_by(self, token: int) -> bool:
        data = spelled(self._tokenizer, token)
        self._unread += data
        if self._last.isdisjoint(data) and not self._replaced and len(self._unread) < MOST_UNREAD:
            return False
        self._text.add(self._unread)
        self._unread = b""
        return self._text.stopped
