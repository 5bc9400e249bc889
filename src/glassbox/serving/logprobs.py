"""Log-probabilities in OpenAI's two shapes: that of chats, and the older one of completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glassbox.generation import Likelihood
from glassbox.generation.text import spelled
from glassbox.serving.protocol.chat import Logprobs, TokenLogprob, TopLogprob
from glassbox.serving.protocol.completions import CompletionLogprobs
from glassbox.serving.transcript import Part
from glassbox.tokenizers import Tokenizer

LOWEST = -9999.0  # JSON has no infinity


def chat_logprobs(part: Part, tokenizer: Tokenizer) -> Logprobs:
    """Of every token but an end token, which stands for no text."""
    return Logprobs(
        content=[
            TokenLogprob(
                **_entry(id, likelihood.log_probability, tokenizer),
                top_logprobs=[TopLogprob(**_entry(*other, tokenizer)) for other in likelihood.alternatives],
            )
            for id, likelihood in zip(part.spelled_ids, part.likelihoods, strict=False)
        ]
    )


def _entry(id: int, log_probability: float, tokenizer: Tokenizer) -> dict[str, Any]:
    text = spelled(tokenizer, id)
    return {
        "token": text.decode(errors="replace"),
        "logprob": max(log_probability, LOWEST),
        "bytes": list(text),
    }


class CompletionTable:
    """Gathers the rows of one completion; `text_offset` counts characters of the choice's text, which goes on from part
    to part of a stream."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._characters = 0

    def rows(self, ids: Sequence[int], likelihoods: Sequence[Likelihood | None]) -> CompletionLogprobs:
        """None in the place of a likelihood: nothing came before that token."""
        texts = [spelled(self._tokenizer, id) for id in ids]
        return CompletionLogprobs(
            tokens=[_spelling(token) for token in texts],
            token_logprobs=[None if one is None else max(one.log_probability, LOWEST) for one in likelihoods],
            top_logprobs=[None if one is None else self._others(one) for one in likelihoods],
            text_offset=[self._offset(token) for token in texts],
        )

    def of_part(self, part: Part) -> CompletionLogprobs:
        """The rows of what was written, without an end token."""
        return self.rows(part.spelled_ids, part.likelihoods[: len(part.spelled_ids)])

    def _others(self, likelihood: Likelihood) -> dict[str, float]:
        return {
            _spelling(spelled(self._tokenizer, id)): max(log_probability, LOWEST)
            for id, log_probability in likelihood.alternatives
        }

    def _offset(self, token: bytes) -> int:
        """Of the character that the token begins with, or goes on with."""
        begun = sum(byte & 0xC0 != 0x80 for byte in token)  # a character's first byte is no continuation
        inside = bool(token) and token[0] & 0xC0 == 0x80
        offset = self._characters - inside
        self._characters += begun
        return offset


def _spelling(token: bytes) -> str:
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
