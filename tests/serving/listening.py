"""Somebody who hears every token of an answer: who reads along in a request as it grows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from glassbox.serving.requests import Failure, Request
from glassbox.serving.transcript import Failed, Part, Transcript
from glassbox.tokenizers import Tokenizer

PATIENCE = 30.0  # seconds; only a test that fails waits so long


class Listener:
    """Hears one answer, token by token.

    each: called with each part that it hears.
    """

    def __init__(self, request: Request, tokenizer: Tokenizer, each: Callable[[Part | Failure], None] = lambda _: None):
        self.request = request
        self.heard: list[Part | Failure] = []
        self.threads: set[str] = set()  # that called it
        self._transcript = Transcript(request, tokenizer)
        self._each = each
        self._news: queue.SimpleQueue[Part | Failure] = queue.SimpleQueue()
        self._reading = threading.Lock()
        request.on_token = request.on_end = self._called
        self._read()  # what was there before

    def next(self) -> Part | Failure:
        return self._news.get(timeout=PATIENCE)

    def whole(self) -> list[Part]:
        """Everything until the end, which must not be a failure."""
        parts: list[Part] = []
        while True:
            part = self.next()
            assert isinstance(part, Part), part
            parts.append(part)
            if part.finish:
                return parts

    def failure(self) -> Failure:
        """The failure that it ends with."""
        while not isinstance(part := self.next(), Failure):
            assert part.finish is None
        return part

    @property
    def parts(self) -> list[Part]:
        """What it has heard so far, none of which is a failure."""
        assert not any(isinstance(part, Failure) for part in self.heard), self.heard
        return [part for part in self.heard if isinstance(part, Part)]

    def _called(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.request.on_token = self._called
        self._read()

    def _read(self) -> None:
        with self._reading:
            if not self._transcript.has_more:
                return
            try:
                news: Part | Failure = self._transcript.read()
            except Failed as error:
                news = error.failure
            self.heard.append(news)
        self._news.put(news)
        self._each(news)


def ids_of(parts: list[Part]) -> tuple[int, ...]:
    return tuple(id for part in parts for id in part.ids)


def text_of(parts: list[Part]) -> str:
    return "".join(part.text for part in parts)
