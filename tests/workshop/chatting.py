"""Somebody who asks a served model the same questions again and again, whatever is killed, and judges what comes."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from killable_workshop import Server

LONGEST = 180.0  # seconds for an answer: a request waits up to two minutes for a process
_STARTING = 60.0  # seconds that a server may take to listen, on a busy machine
_PAUSE = 0.05  # seconds between two questions, which runs have for themselves
_PATH = "/v1/chat/completions"
_EXPECTED_CODES = ("model_crashed", "model_starting", "model_not_served", "database_away")


@dataclass(frozen=True)
class Question:
    """One of which every answer must be the same: the likeliest tokens, or drawn with a seed."""

    text: str
    temperature: float
    seed: int

    def body(self, model: str, *, stream: bool) -> dict[str, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": self.text}], "max_tokens": 300}
        body |= {"temperature": self.temperature, "seed": self.seed, "stream": stream}
        return body | ({"stream_options": {"include_usage": True}} if stream else {})


QUESTIONS = tuple(
    Question(text, temperature, seed=len(text))
    for text, temperature in itertools.product(("She sells", "The shells", "By the sea"), (0.0, 1.0))
)


@dataclass(frozen=True)
class Answer:
    """What a model says, and what it says of it."""

    text: str
    finish_reason: str | None
    tokens: int | None


@dataclass
class Heard:
    """Of a stream so far."""

    text: str = ""
    finish_reason: str | None = None
    tokens: int | None = None
    last: str = ""

    def event(self, data: str) -> None:
        self.last = data
        if not data.startswith('{"id"'):
            return
        told = json.loads(data)
        self.tokens = (told["usage"] or {}).get("completion_tokens")
        for choice in told["choices"]:
            self.text += choice["delta"].get("content", "")
            self.finish_reason = choice["finish_reason"] or self.finish_reason


def right_answers(server: Server, model: str, key: str) -> dict[Question, Answer]:
    """What the model answers while nobody is killed."""
    with _client(key) as client:
        return {
            question: _whole(client.post(f"{server.address}{_PATH}", json=question.body(model, stream=False)).text)
            for question in QUESTIONS
        }


class Chats(threading.Thread):
    """Ends when told that it is `over`.

    whole: answers that came, each of them the right one.  errors: by code, in OpenAI's shape.
    cut_off: requests that were under way when the server was killed, or came before the next one listened.
    wrong: what must never come: another answer, a short one that says that it is whole, an error without a shape,
    a stream that ends as if it were whole, a connection that is cut while the server lives.
    """

    def __init__(self, server: Server, model: str, key: str, right: Mapping[Question, Answer], *, stream: bool) -> None:
        super().__init__(daemon=True)
        self._server, self._model, self._right, self._stream = server, model, right, stream
        self._client = _client(key)
        self._heard = Heard()
        self.over = threading.Event()
        self.whole = self.cut_off = 0
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []

    @property
    def hears(self) -> bool:
        """Does an answer come just now? Of a stream."""
        return self._heard.text != "" and self._heard.last != "[DONE]"

    def run(self) -> None:
        for question in itertools.cycle(self._right):
            if self.over.wait(_PAUSE):
                return
            self.ask(question)

    def ask(self, question: Question) -> bool:
        """Did the right answer come, and all of it?"""
        right, began = self._right[question], time.monotonic()
        heard = self._heard = Heard()
        try:
            answer = self._asked(question, heard)
        except httpx.TransportError as error:
            self._judge_cut(error, began)
            answer = None
        if not right.text.startswith(heard.text) or (heard.finish_reason and heard.text != right.text):
            self.wrong.append(f"{heard} instead of {right}")
        if answer is None:
            return False
        if answer != right:
            self.wrong.append(f"{answer} instead of {right}")
        self.whole += 1
        return True

    def _asked(self, question: Question, heard: Heard) -> Answer | None:
        """The answer; None if an error came instead."""
        body = question.body(self._model, stream=self._stream)
        with self._client.stream("POST", f"{self._server.address}{_PATH}", json=body) as response:
            if response.status_code != HTTPStatus.OK:
                self._judge_error(response.read().decode())
                return None
            if not self._stream:
                return _whole(response.read().decode())
            for line in filter(None, response.iter_lines()):
                heard.event(line.removeprefix("data: "))
        if heard.last == "[DONE]":
            return Answer(heard.text, heard.finish_reason, heard.tokens)
        self._judge_error(heard.last)
        return None

    def _judge_error(self, content: str) -> None:
        try:
            error = json.loads(content)["error"]
            code, message = error["code"], error["message"]
        except (ValueError, LookupError, TypeError):
            self.wrong.append(f"an error without a shape: {content[:500]!r}")
            return
        if code not in _EXPECTED_CODES or not message:
            self.wrong.append(f"an error that is none of the expected: {content}")
        self.errors[code] += 1

    def _judge_cut(self, error: httpx.TransportError, began: float) -> None:
        """A connection may be cut only with the server, and refused only until the next one listens."""
        is_refusal = isinstance(error, httpx.ConnectError) and time.monotonic() - self._server.killed < _STARTING
        was_killed = self._server.killed >= began and not isinstance(error, httpx.TimeoutException)
        if not is_refusal and not was_killed:
            self.wrong.append(f"the connection was cut, and the server wasn't killed: {error!r}")
        self.cut_off += 1


def _client(key: str) -> httpx.Client:
    return httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=LONGEST, trust_env=False)


def _whole(content: str) -> Answer:
    """What a body says that was not streamed."""
    told = json.loads(content)
    [choice] = told["choices"]
    return Answer(choice["message"]["content"], choice["finish_reason"], told["usage"]["completion_tokens"])
