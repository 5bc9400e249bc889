"""Answers to one request while they are being written: submitted together, heard together, given up together."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from glassbox.errors import BadInput
from glassbox.generation import Decoding, Finish
from glassbox.serving.batching import Closed, Full, Ticket
from glassbox.serving.inbox import Inbox
from glassbox.serving.protocol.chat import FinishReason
from glassbox.serving.protocol.errors import ApiError, from_bad_input, shutting_down
from glassbox.serving.protocol.sampling import Sampling
from glassbox.serving.service import Service
from glassbox.serving.transcript import Failed, Part, Transcript

TRY_AGAIN_AFTER = 1  # seconds, when too many wait


def decoding_of(
    asked: Sampling, *, max_tokens: int, stop: Sequence[str], end_tokens: Sequence[int], alternatives: int | None
) -> Decoding:
    """The settings of a request. One without a seed gets one that nobody can guess. Raises BadInput."""
    return Decoding(
        max_tokens=max_tokens,
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=secrets.randbits(64) if asked.seed is None else asked.seed % 2**64,
        stop=(*asked.stop_texts, *stop),
        end_tokens=tuple(end_tokens),
        alternatives=alternatives,
    )


class Writing:
    """`n` answers to each prompt, numbered one prompt after the other. Leaving it gives up what isn't written yet.

    tokens: heard so far, of all answers.
    Raises ApiError: 400 for a prompt that can't be continued, 429 when too many wait, 503 when the model is shut down.
    """

    def __init__(
        self,
        service: Service,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        n: int,
        *,
        stream: bool,
    ) -> None:
        self.answers = len(prompts) * n
        self._metrics = service.metrics
        self._since = time.monotonic()
        self._tickets: list[Ticket] = []
        self.tokens = 0
        try:
            for prompt in prompts:
                for row in range(n):
                    self._tickets.append(service.batcher.submit(prompt, decoding, row=row))
        except (BadInput, Full, Closed) as error:
            self._give_up()
            raise _as_api_error(error) from None
        answers = [Transcript(ticket.request, service.model.tokenizer) for ticket in self._tickets]
        self._inbox = Inbox(answers, service.pulse if stream else None)

    def __enter__(self) -> Writing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_up()
        began = [ticket.request.first for ticket in self._tickets if ticket.request.first is not None]
        if not began:
            return
        self._metrics.first_token.observe(min(began) - self._since)
        if self.tokens > self.answers:
            now = time.monotonic()  # until which an answer was written that is given up
            last = max(ticket.request.last or now for ticket in self._tickets)
            self._metrics.per_token.observe((last - min(began)) / (self.tokens / self.answers - 1))

    async def batches(self) -> AsyncIterator[dict[int, Part]]:
        """Number of an answer -> what was written of it since. Raises ApiError, 500, if the model fails."""
        try:
            async for batch in self._inbox.batches():
                self.tokens += sum(len(part.ids) for part in batch.values())
                yield batch
        except Failed as error:
            failure = error.failure
            raise ApiError(
                500, f"{failure.problem} The server's log tells more under {failure.id}.", type="server_error",
                code="generation_failed",
            ) from None  # fmt: skip

    async def whole(self) -> list[Part]:
        """Each answer in one part; not for streams."""
        answers: dict[int, Part] = {}
        async for batch in self.batches():
            answers |= batch
        return [answers[number] for number in range(self.answers)]

    def _give_up(self) -> None:
        for ticket in self._tickets:  # what has ended already doesn't mind
            ticket.cancel()


def finish_reason(finish: Finish | None) -> FinishReason | None:
    """In OpenAI's words: an end token and a stop text are both "stop", a full context is "length" too."""
    if finish is None:
        return None
    return "stop" if finish in ("end", "stop") else "length"


def _as_api_error(error: BadInput | Full | Closed) -> ApiError:
    if isinstance(error, BadInput):
        return from_bad_input(error)
    if isinstance(error, Full):
        return ApiError(
            429, f"{error} Try again in a moment.", type="rate_limit_error", code="too_many_waiting",
            retry_after=TRY_AGAIN_AFTER,
        )  # fmt: skip
    return shutting_down(error)
