"""What the endpoints share: the model, and the one thread that computes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from glassbox.errors import BadInput
from glassbox.serving.batching import Closed, ContinuousBatcher
from glassbox.serving.metrics import Metrics
from glassbox.serving.protocol.errors import ApiError, from_bad_input, shutting_down
from glassbox.serving.protocol.health import Health
from glassbox.serving.pulse import Pulse
from glassbox.serving.served_model import ServedModel

WAITING_READERS = 64  # requests that may wait for the reading thread
SHORT = 20_000  # characters that are encoded at once; more of them take a thread, so that others don't wait

P = ParamSpec("P")
T = TypeVar("T")


class Service:
    """One served model at work. pulse: of the streams of all its answers."""

    def __init__(self, model: ServedModel, *, rows: int, waiting: int, threads: int, process_id: int) -> None:
        self.model = model
        self._process_id = process_id
        self._batcher: ContinuousBatcher | None = None
        if model.writes:
            self._batcher = ContinuousBatcher(
                model.reader.model, model.tokenizer, rows=rows, waiting=waiting, threads=threads
            )
        self.pulse = Pulse()
        self.metrics = Metrics(None if self._batcher is None else self._batcher.snapshot)
        self._reading = ThreadPoolExecutor(1, "reading")  # of a model that doesn't write
        self._readers = 0

    def start(self) -> None:
        if self._batcher is not None:
            self._batcher.start()

    def close(self) -> None:
        if self._batcher is not None:
            self._batcher.close()
        self._reading.shutdown(cancel_futures=True)

    @property
    def batcher(self) -> ContinuousBatcher:
        """Raises ApiError, 400, for a model that doesn't write."""
        self.model.check_writes()
        assert self._batcher is not None, "a model that writes has a batcher"
        return self._batcher

    async def read(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Let the model read, one call after the other, and between two tokens of what it writes.

        Raises ApiError, 400 for BadInput, 429 when too many wait, and 503 when the model is shut down.
        """
        if self._readers >= WAITING_READERS:
            raise ApiError(
                429, f"{self._readers} requests wait already. Try again in a moment.", type="rate_limit_error",
                code="too_many_waiting", retry_after=1,
            )  # fmt: skip
        self._readers += 1
        try:
            thread = self._reading.submit if self._batcher is None else self._batcher.run
            return await asyncio.wrap_future(thread(work, *arguments, **named))
        except BadInput as error:
            raise from_bad_input(error) from None
        except Closed as error:
            raise shutting_down(error) from None
        finally:
            self._readers -= 1

    async def encode(self, work: Callable[[], T], characters: int, param: str) -> T:
        """The ids that texts of so many characters become. Raises ApiError, 400."""
        try:
            return work() if characters <= SHORT else await asyncio.to_thread(work)
        except BadInput as error:
            raise from_bad_input(error, param=param) from None

    def check_room(self, prompt: Sequence[int], param: str, *, answer: int = 1) -> None:
        """Raises ApiError, 400, for a prompt that leaves the context no room for so many tokens."""
        if len(prompt) + answer > self.model.context:
            raise ApiError(
                400,
                f"The prompt has {len(prompt):,} tokens, and the model's context of {self.model.context:,} leaves no "
                "room to answer. Shorten it.",
                param=param,
                code="context_length_exceeded",
            )

    def health(self) -> Health:
        load = None if self._batcher is None else self._batcher.snapshot()
        return Health(
            status="ready" if load is None or load.healthy else "failing",
            model=self.model.id,
            pid=self._process_id,
            rows=0 if load is None else load.rows,
            busy=0 if load is None else load.busy,
            waiting=0 if load is None else load.waiting,
        )
