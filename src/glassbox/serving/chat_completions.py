"""`POST /v1/chat/completions`."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Sequence

from starlette.responses import Response

from glassbox.errors import BadInput
from glassbox.generation import Decoding
from glassbox.serving.logprobs import chat_logprobs
from glassbox.serving.protocol.chat import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    ChunkChoice,
    Delta,
    FinishReason,
    Logprobs,
)
from glassbox.serving.protocol.errors import ApiError, from_bad_input
from glassbox.serving.protocol.usage import Usage
from glassbox.serving.replies import DONE, EventStream, TextEvent, event, json_response
from glassbox.serving.served_model import ServedModel
from glassbox.serving.service import Service
from glassbox.serving.transcript import Part
from glassbox.serving.writing import Writing, decoding_of, finish_reason


async def answer(service: Service, asked: ChatRequest) -> Response:
    """The response to a chat. Raises ApiError."""
    service.model.check_writes()
    messages = [_told(message.role, message.text, message.name) for message in asked.messages]
    characters = sum(len(text) for message in messages for text in message.values())
    prompt = await service.encode(lambda: service.model.chat.prompt(messages), characters, "messages")
    service.check_room(prompt, "messages")
    decoding = _decoding(service, asked, len(prompt))
    writing = Writing(service, [prompt], decoding, asked.n, stream=asked.stream)
    chat = _Chat(service.model, asked, len(prompt))
    if asked.stream:
        return EventStream(chat.events(writing))
    with writing:
        return json_response(chat.completion(await writing.whole()))


def _told(role: str, text: str, name: str | None) -> dict[str, str]:
    """A message as templates know it: a developer's word is the system's."""
    told = {"role": "system" if role == "developer" else role, "content": text}
    return told if name is None else told | {"name": name}


def _decoding(service: Service, asked: ChatRequest, prompt: int) -> Decoding:
    if asked.top_logprobs is not None and not asked.logprobs:
        raise ApiError(
            400, "top_logprobs tells more about logprobs, which weren't asked for. Set logprobs to true.",
            param="top_logprobs", code="invalid_value",
        )  # fmt: skip
    model = service.model
    most = asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens
    try:
        return decoding_of(
            asked,
            max_tokens=model.context - prompt if most is None else most,
            stop=model.chat.stop,
            end_tokens=model.end_tokens,
            alternatives=(asked.top_logprobs or 0) if asked.logprobs else None,
        )
    except BadInput as error:
        raise from_bad_input(error) from None


class _Chat:
    """One answer to a chat in OpenAI's shapes, whole or in parts."""

    def __init__(self, model: ServedModel, asked: ChatRequest, prompt_tokens: int) -> None:
        self._model = model
        self._asked = asked
        self._prompt_tokens = prompt_tokens
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def completion(self, answers: Sequence[Part]) -> ChatCompletion:
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._model.id,
            choices=[self._choice(index, part) for index, part in enumerate(answers)],
            usage=self._usage(sum(len(part.ids) for part in answers)),
            system_fingerprint=self._model.fingerprint,
        )

    async def events(self, writing: Writing) -> AsyncGenerator[bytes]:
        """Parts of the stream, each of one event or several that became ready together."""
        with writing:
            begun = False
            async for batch in writing.batches():
                usage = self._usage(writing.tokens) if self._asked.continuous_usage else None
                events: list[bytes] = []
                if not begun:
                    roles = Delta(role="assistant", content="")
                    events = [event(self._chunk(index, roles, usage=usage)) for index in range(writing.answers)]
                    begun = True
                for index, part in batch.items():
                    events += self._events(index, part, usage)
                if events:
                    yield b"".join(events)
            total = self._usage(writing.tokens)
            yield (event(self._chunk_of([], total)) if self._asked.include_usage else b"") + DONE

    def _choice(self, index: int, part: Part) -> ChatChoice:
        reason = finish_reason(part.finish)
        assert reason is not None, "an answer is whole when its last part says why it ends"
        return ChatChoice(
            index=index,
            message=AnswerMessage(content=part.text),
            logprobs=self._logprobs(part),
            finish_reason=reason,
        )

    def _events(self, index: int, part: Part, usage: Usage | None) -> Iterator[bytes]:
        """What came of one answer, and an event of its own for its end."""
        logprobs = self._logprobs(part)
        if logprobs is not None or (part.text and usage is not None):
            yield event(self._chunk(index, Delta(content=part.text), logprobs=logprobs, usage=usage))
        elif part.text:
            yield self._texts[index](part.text)
        reason = finish_reason(part.finish)
        if reason is not None:
            yield event(self._chunk(index, Delta(), finish=reason, usage=usage))

    @functools.cached_property
    def _texts(self) -> list[TextEvent]:
        """Of each answer, the event that adds text to it and says nothing else."""
        return [TextEvent(functools.partial(self._text, index)) for index in range(self._asked.n)]

    def _text(self, index: int, text: str) -> ChatCompletionChunk:
        return self._chunk(index, Delta(content=text))

    def _logprobs(self, part: Part) -> Logprobs | None:
        return chat_logprobs(part, self._model.tokenizer) if self._asked.logprobs else None

    def _usage(self, written: int) -> Usage:
        return Usage.of(self._prompt_tokens, written)

    def _chunk(
        self,
        index: int,
        delta: Delta,
        *,
        logprobs: Logprobs | None = None,
        finish: FinishReason | None = None,
        usage: Usage | None = None,
    ) -> ChatCompletionChunk:
        return self._chunk_of([ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish)], usage)

    def _chunk_of(self, choices: list[ChunkChoice], usage: Usage | None) -> ChatCompletionChunk:
        chunk = ChatCompletionChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._model.id,
            choices=choices,
            system_fingerprint=self._model.fingerprint,
        )
        if self._asked.include_usage:
            chunk.usage = usage
        return chunk
