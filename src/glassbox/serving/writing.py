"""Answers to one request while they are being written: submitted together, heard together, given up together."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from glassbox.errors import BadInput
from glassbox.generation import Decoding, Piece
from glassbox.serving.batching import Closed, ContinuousBatcher, Full, Ticket
from glassbox.serving.inbox import Failed, Inbox
from glassbox.serving.metrics import Metrics
from glassbox.serving.protocol.chat import FinishReason
from glassbox.serving.protocol.errors import ApiError, from_bad_input, shutting_down
from glassbox.serving.protocol.sampling import Sampling

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
        batcher: ContinuousBatcher,
        metrics: Metrics,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        n: int,
        *,
        stream: bool,
    ) -> None:
        self.answers = len(prompts) * n
        self._metrics = metrics
        self._since = time.monotonic()
        self._inbox = Inbox(self.answers, stream=stream)
        self._tickets: list[Ticket] = []
        self.tokens = 0
        try:
            for place, prompt in enumerate(prompts):
                for row in range(n):
                    deliver = functools.partial(self._inbox.deliver, place * n + row)
                    self._tickets.append(batcher.submit(prompt, decoding, deliver, row=row))
        except (BadInput, Full, Closed) as error:
            self._give_up()
            raise _as_api_error(error) from None

    def __enter__(self) -> Writing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_up()
        first, last = self._inbox.first, self._inbox.last
        if first is not None and last is not None:
            self._metrics.first_token.observe(first - self._since)
            if self.tokens > self.answers:
                self._metrics.per_token.observe((last - first) / (self.tokens / self.answers - 1))

    async def batches(self) -> AsyncIterator[dict[int, list[Piece]]]:
        """Number of an answer -> what was written of it since. Raises ApiError, 500, if the model fails."""
        try:
            async for batch in self._inbox.batches():
                self.tokens += sum(map(len, batch.values()))
                yield batch
        except Failed as error:
            failure = error.failure
            raise ApiError(
                500, f"{failure.problem} The server's log tells more under {failure.id}.", type="server_error",
                code="generation_failed",
            ) from None  # fmt: skip

    async def whole(self) -> list[list[Piece]]:
        """All pieces of each answer."""
        answers: list[list[Piece]] = [[] for _ in range(self.answers)]
        async for batch in self.batches():
            for number, pieces in batch.items():
                answers[number] += pieces
        return answers

    def _give_up(self) -> None:
        for ticket in self._tickets:  # what has ended already doesn't mind
            ticket.cancel()


def finish_reason(piece: Piece) -> FinishReason | None:
    """In OpenAI's words: an end token and a stop text are both "stop", a full context is "length" too."""
    if piece.finish is None:
        return None
    return "stop" if piece.finish in ("end", "stop") else "length"


def _as_api_error(error: BadInput | Full | Closed) -> ApiError:
    if isinstance(error, BadInput):
        return from_bad_input(error)
    if isinstance(error, Full):
        return ApiError(
            429, f"{error} Try again in a moment.", type="rate_limit_error", code="too_many_waiting",
            retry_after=TRY_AGAIN_AFTER,
        )  # fmt: skip
    return shutting_down(error)
