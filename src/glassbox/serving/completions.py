"""`POST /v1/completions`."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import torch
from starlette.responses import Response

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.generation import Likelihood
from glassbox.generation.likelihood import likelihoods
from glassbox.generation.text import spelled
from glassbox.serving.logprobs import CompletionTable
from glassbox.serving.protocol.completions import Completion, CompletionChoice, CompletionLogprobs, CompletionRequest
from glassbox.serving.protocol.errors import ApiError, from_bad_input
from glassbox.serving.protocol.usage import Usage
from glassbox.serving.replies import DONE, EventStream, event, json_response
from glassbox.serving.service import Service
from glassbox.serving.transcript import Part
from glassbox.serving.writing import Writing, decoding_of, finish_reason

MOST_ANSWERS = 128  # prompts times n


@dataclass(frozen=True)
class _Prompt:
    """ids: what the model reads. text: what echo gives back, of the ids from `own` on: before are marks of a beginning.
    likelihoods: of those ids, where echo and logprobs ask for them; None for an id that nothing came before.
    """

    ids: list[int]
    own: int
    text: str
    likelihoods: list[Likelihood | None] | None


async def answer(service: Service, asked: CompletionRequest) -> Response:
    """The response to a completion. Raises ApiError."""
    service.model.check_writes()
    _check(asked)
    prompts = [await _prompt(service, asked, prompt) for prompt in asked.prompts]
    task = _Completions(service, asked, prompts)
    if asked.max_tokens == 0:
        return json_response(task.of_prompts_alone())
    try:
        decoding = decoding_of(
            asked,
            max_tokens=asked.max_tokens,
            stop=(),
            end_tokens=service.model.end_tokens,
            alternatives=asked.logprobs,
        )
    except BadInput as error:
        raise from_bad_input(error) from None
    rows = [prompt.ids for prompt in prompts]
    writing = Writing(service, rows, decoding, asked.n, stream=asked.stream)
    if asked.stream:
        return EventStream(task.events(writing))
    with writing:
        return json_response(task.completion(await writing.whole()))


def _check(asked: CompletionRequest) -> None:
    answers = len(asked.prompts) * asked.n
    if answers > MOST_ANSWERS:
        raise ApiError(
            400, f"{len(asked.prompts)} prompts with {asked.n} choices each are {answers} answers. Ask for at most "
            f"{MOST_ANSWERS}.", param="n", code="invalid_value",
        )  # fmt: skip
    if asked.best_of not in (None, asked.n):
        raise ApiError(
            400, "best_of other than n isn't supported. Ask for n choices, and choose by their logprobs.",
            param="best_of", code="unsupported_parameter",
        )  # fmt: skip
    if asked.max_tokens == 0 and not asked.echo:
        raise ApiError(
            400, "max_tokens is 0 and the prompt isn't wanted either. Set echo, or max_tokens to at least 1.",
            param="max_tokens", code="invalid_value",
        )  # fmt: skip


async def _prompt(service: Service, asked: CompletionRequest, given: str | list[int]) -> _Prompt:
    model = service.model
    if isinstance(given, str):
        text = given
        ids = await service.encode(lambda: model.prompt(given), len(given), "prompt")
        own = len(ids) if not given else len(model.tokenizer.beginning)
    else:
        ids, own = given, 0
        vocabulary = model.reader.model.spec.vocabulary_size
        wrong = next((id for id in ids if not 0 <= id < vocabulary), None)
        if wrong is not None:
            raise ApiError(
                400, f"The prompt holds the id {wrong}, and the model knows ids from 0 to {vocabulary - 1}.",
                param="prompt", code="invalid_value",
            )  # fmt: skip
        text = b"".join(spelled(model.tokenizer, id) for id in ids).decode(errors="replace") if asked.echo else ""
    service.check_room(ids, "prompt", answer=min(1, asked.max_tokens))
    if not ids:
        raise ApiError(400, "The prompt is empty, and this tokenizer has no mark of a beginning. Give some text.",
                       param="prompt", code="invalid_value")  # fmt: skip
    judged = None
    if asked.echo and asked.logprobs is not None:
        judged = await service.read(_judge, model.reader.model, ids, asked.logprobs)
    return _Prompt(ids, own, text, None if judged is None else judged[own:])


@torch.inference_mode()
def _judge(model: Transformer, ids: list[int], alternatives: int) -> list[Likelihood | None]:
    """How likely the model finds each id after those before it; the first has none before."""
    tokens = model.batch([ids])  # (1, length)
    logits = model.logits(model.hidden(tokens))[0, :-1]  # (length - 1, vocabulary)
    return [None, *likelihoods(logits, tokens[0, 1:], alternatives)]


class _Completions:
    """The answers to one request in OpenAI's shapes, whole or in parts."""

    def __init__(self, service: Service, asked: CompletionRequest, prompts: Sequence[_Prompt]) -> None:
        self._model = service.model
        self._asked = asked
        self._prompts = prompts
        self._prompt_tokens = sum(len(prompt.ids) for prompt in prompts)
        self._id = f"cmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        answers = len(prompts) * asked.n
        self._tables = [CompletionTable(service.model.tokenizer) for _ in range(answers)]

    def completion(self, answers: Sequence[Part]) -> Completion:
        choices = [self._choice(index, part, echo=self._asked.echo) for index, part in enumerate(answers)]
        return self._body(choices, Usage.of(self._prompt_tokens, sum(len(part.ids) for part in answers)))

    def of_prompts_alone(self) -> Completion:
        """What echo tells where nothing is to be written."""
        nothing = Part([], [], "", [], "length")
        choices = [self._choice(index, nothing, echo=True) for index in range(len(self._tables))]
        return self._body(choices, Usage.of(self._prompt_tokens, 0))

    async def events(self, writing: Writing) -> AsyncGenerator[bytes]:
        """Parts of the stream, each of one event or several that became ready together."""
        with writing:
            begun: set[int] = set()
            async for batch in writing.batches():
                choices: list[CompletionChoice] = []
                for index, part in batch.items():
                    echo = self._asked.echo and index not in begun
                    begun.add(index)
                    choice = self._choice(index, part, echo=echo)
                    if choice.text or choice.logprobs or choice.finish_reason:
                        choices.append(choice)
                used = Usage.of(self._prompt_tokens, writing.tokens) if self._asked.continuous_usage else None
                if choices:
                    yield b"".join(event(self._part([choice], used)) for choice in choices)
            total = Usage.of(self._prompt_tokens, writing.tokens)
            yield (event(self._part([], total)) if self._asked.include_usage else b"") + DONE

    def _choice(self, index: int, part: Part, *, echo: bool) -> CompletionChoice:
        prompt = self._prompts[index // self._asked.n]
        return CompletionChoice(
            index=index,
            text=prompt.text + part.text if echo else part.text,
            logprobs=None if self._asked.logprobs is None else self._logprobs(index, part, prompt if echo else None),
            finish_reason=finish_reason(part.finish),
        )

    def _logprobs(self, index: int, part: Part, echoed: _Prompt | None) -> CompletionLogprobs:
        table = self._tables[index]
        if echoed is None or echoed.likelihoods is None:
            return table.of_part(part)
        before, written = table.rows(echoed.ids[echoed.own :], echoed.likelihoods), table.of_part(part)
        return CompletionLogprobs(
            tokens=before.tokens + written.tokens,
            token_logprobs=before.token_logprobs + written.token_logprobs,
            top_logprobs=[*(before.top_logprobs or ()), *(written.top_logprobs or ())],
            text_offset=before.text_offset + written.text_offset,
        )

    def _part(self, choices: list[CompletionChoice], usage: Usage | None = None) -> Completion:
        """A chunk of a stream: its usage is null in all but the last, where it was asked for."""
        part = self._body(choices, usage)
        if not self._asked.include_usage:
            part.__pydantic_fields_set__.discard("usage")
        return part

    def _body(self, choices: list[CompletionChoice], usage: Usage | None) -> Completion:
        return Completion(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._model.id,
            choices=choices,
            system_fingerprint=self._model.fingerprint,
            usage=usage,
        )
