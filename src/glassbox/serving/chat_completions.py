"""`POST /v1/chat/completions`."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence

from starlette.responses import Response

from glassbox.errors import BadInput
from glassbox.generation import Decoding, Piece
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
)
from glassbox.serving.protocol.errors import ApiError, from_bad_input
from glassbox.serving.protocol.usage import Usage
from glassbox.serving.replies import DONE, EventStream, event, json_response
from glassbox.serving.service import Service
from glassbox.serving.writing import Writing, decoding_of, finish_reason


async def answer(service: Service, asked: ChatRequest) -> Response:
    """The response to a chat. Raises ApiError."""
    batcher = service.batcher
    messages = [_told(message.role, message.text, message.name) for message in asked.messages]
    characters = sum(len(text) for message in messages for text in message.values())
    prompt = await service.encode(lambda: service.model.chat.prompt(messages), characters, "messages")
    service.check_room(prompt, "messages")
    decoding = _decoding(service, asked, len(prompt))
    writing = Writing(batcher, service.metrics, [prompt], decoding, asked.n, stream=asked.stream)
    chat = _Chat(service, asked, len(prompt))
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

    def __init__(self, service: Service, asked: ChatRequest, prompt_tokens: int) -> None:
        self._model = service.model
        self._asked = asked
        self._prompt_tokens = prompt_tokens
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def completion(self, answers: Sequence[Sequence[Piece]]) -> ChatCompletion:
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._model.id,
            choices=[self._choice(index, pieces) for index, pieces in enumerate(answers)],
            usage=Usage.of(self._prompt_tokens, sum(map(len, answers))),
            system_fingerprint=self._model.fingerprint,
        )

    async def events(self, writing: Writing) -> AsyncGenerator[bytes]:
        """Parts of the stream, each of one event or several that became ready together."""
        with writing:
            roles = [self._chunk(index, Delta(role="assistant", content="")) for index in range(writing.answers)]
            async for batch in writing.batches():
                chunks = [chunk for index, pieces in batch.items() for chunk in self._parts(index, pieces)]
                parts, roles = [*roles, *chunks], []
                if self._asked.continuous_usage:
                    for part in parts:
                        part.usage = Usage.of(self._prompt_tokens, writing.tokens)
                if parts:
                    yield b"".join(map(event, parts))
            if self._asked.include_usage:
                usage = Usage.of(self._prompt_tokens, writing.tokens)
                yield event(self._chunk_of([], usage))
            yield DONE

    def _choice(self, index: int, pieces: Sequence[Piece]) -> ChatChoice:
        reason = finish_reason(pieces[-1])
        assert reason is not None, "an answer is whole when its last piece says why it ends"
        return ChatChoice(
            index=index,
            message=AnswerMessage(content="".join(piece.text for piece in pieces)),
            logprobs=chat_logprobs(pieces, self._model.tokenizer) if self._asked.logprobs else None,
            finish_reason=reason,
        )

    def _parts(self, index: int, pieces: Sequence[Piece]) -> list[ChatCompletionChunk]:
        """What came of one answer, and a chunk of its own for its end."""
        parts: list[ChatCompletionChunk] = []
        text = "".join(piece.text for piece in pieces)
        if text or self._asked.logprobs:
            parts.append(self._chunk(index, Delta(content=text), pieces))
        reason = finish_reason(pieces[-1])
        if reason is not None:
            parts.append(self._chunk(index, Delta(), finish=reason))
        return parts

    def _chunk(
        self, index: int, delta: Delta, pieces: Sequence[Piece] = (), finish: FinishReason | None = None
    ) -> ChatCompletionChunk:
        logprobs = chat_logprobs(pieces, self._model.tokenizer) if self._asked.logprobs and pieces else None
        return self._chunk_of([ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish)])

    def _chunk_of(self, choices: list[ChunkChoice], usage: Usage | None = None) -> ChatCompletionChunk:
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
