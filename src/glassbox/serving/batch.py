"""The requests that a model reads and writes now: what one round of continuous batching does.

A request is first read, all but its last token, in a cache of its own (`reading.py`). Then it joins those who write:
a step reads the last token of each row, and the next one is chosen. When its answer ends, its row is free at once.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors.step import Copies, Step
from glassbox.engines.tensors.transformer import Transformer
from glassbox.generation import Likelihood
from glassbox.generation.likelihood import likelihoods
from glassbox.serving.choosing import Choosing
from glassbox.serving.prefixes import Prefixes
from glassbox.serving.reading import Reading, Unread
from glassbox.serving.reading_queue import ReadingQueue
from glassbox.serving.requests import Closed, Failure, Request
from glassbox.serving.slots import Slots

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What a batch has done so far; see `Load`."""

    read: int = 0
    reused: int = 0
    written: int = 0
    steps: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0


class Batch:
    """At most `rows` requests of one decoder. Knows no threads: everything happens in the call that asks for it.

    chunk: how many tokens of prompts are read in a round.

    To be used with a model whose weights don't change.
    """

    def __init__(self, model: Transformer, rows: int, chunk: int) -> None:
        self.rows = rows
        self.counts = Counts()
        self.faults = 0  # since the last step that succeeded
        self._model = model.eval()  # no dropout
        self._like = model.embedding.tokens
        self._chunk = chunk
        self._slots = Slots(model.spec, rows, like=self._like)
        self._prefixes = Prefixes()
        self._unread = ReadingQueue(model, chunk)
        self._writing: list[Request] = []  # in the order of the slots' rows
        self._choosing: Choosing | None = None  # for those who write, until they change; so also the next two
        self._last: Tensor | None = None  # (rows,): the token of each that is to be read next
        self._alternatives: dict[int, int] = {}  # row -> of how many tokens it wants to know how likely they were
        self._steps: dict[int, Step] = {}  # by the number of rows, all with the same copy of the weights
        self._copies = Copies()

    @property
    def busy(self) -> int:
        """Requests that are read or written. May be asked from any thread, and then counts one twice that goes over."""
        return len(self._writing) + self._unread.busy

    @property
    def free(self) -> int:
        return max(0, self.rows - self.busy)

    def admit(self, requests: Iterable[Request]) -> None:
        """Take in new requests, at most `free`: those that nobody has cancelled meanwhile."""
        live: list[Request] = []
        for request in requests:
            if request.cancelled:
                self.counts.cancelled += 1
            else:
                live.append(request)
        self._begin(live)

    @torch.inference_mode()
    def round(self) -> None:
        """Read a chunk of the reading whose turn it is, and write one token of each answer.

        A fault ends the requests that it was about, and no others.
        """
        reading = self._unread.turn()
        if reading is not None:
            try:
                done = self._read(reading)
            except Exception as error:  # whatever it was, those who wait must hear of it, and the others go on
                done = True
                self.faults += 1
                self.fail([request for request in reading.requests if request not in self._writing], error)
            self._unread.move_on(done=done)
        try:
            if self._write():
                self.faults = 0
        except Exception as error:  # as above; what the rows hold isn't known any more
            self.faults += 1
            self.fail(self._drop_writing(), error)

    def give_up(self, error: BaseException) -> None:
        """Drop everything; whoever waits hears a Failure."""
        self.fail([*self._drop_writing(), *self._unread.clear()], error)

    def fail(self, requests: Sequence[Request], error: BaseException) -> None:
        """Tell everyone of these that the answer ends here, and log why, under one id."""
        if not requests:
            return
        expected = isinstance(error, Closed)
        reason = str(error) if expected else f"The model failed ({type(error).__name__})."
        failure = Failure(uuid.uuid4().hex[:12], reason)
        log.error("Failure %s ends %d answers: %s", failure.id, len(requests), error, exc_info=not expected and error)
        for request in requests:
            self.counts.failed += 1
            request.failure = failure
            self._end(request)
            request.cancelled = True  # whatever else was planned for it

    def _begin(self, requests: Iterable[Request]) -> None:
        for request in requests:
            ids = self._to_read(request)
            self._unread.add(Unread(request, ids, self._prefixes.find(ids)))

    def _to_read(self, request: Request) -> list[int]:
        """The ids before the last one: of more than the context, those of its newer half (as `Decoder` does)."""
        context = self._model.spec.context
        seen = request.ids if len(request.ids) <= context else request.ids[-max(1, context // 2) :]
        return seen[:-1]

    def _read(self, reading: Reading) -> bool:
        """Read a chunk; those who have been read join those who write. Returns whether that is done."""
        if all(request.cancelled for request in reading.requests):
            self.counts.cancelled += len(reading.requests)
            return True
        if not reading.begun:
            self.counts.reused += reading.reused
        self.counts.read += reading.read(max(1, self._chunk // len(reading.requests)))
        if reading.done:
            for row, request in enumerate(reading.requests):
                held = reading.held(row)
                self._prefixes.keep(self._to_read(request), held if len(reading.requests) == 1 else held.clone())
                self._join(request, held)
        return reading.done

    def _join(self, request: Request, held: Tensor) -> None:
        self._slots.join(held)
        self._writing.append(request)
        self._choosing = self._last = None

    def _leave(self, row: int) -> None:
        """Free a row; what it held is remembered."""
        request = self._writing[row]
        count = self._slots.count(row)
        self._prefixes.keep(request.ids[len(request.ids) - 1 - count : -1], self._slots.held(row).clone())
        self._slots.leave(row)
        self._writing[row] = self._writing[-1]
        self._writing.pop()
        self._choosing = self._last = None

    def _make_room(self) -> None:
        """Free the rows that nobody listens to, and those whose context is full: they read their newer half anew."""
        context = self._model.spec.context
        for row in reversed(range(len(self._writing))):
            if self._writing[row].cancelled:
                self._leave(row)
                self.counts.cancelled += 1
        if self._slots.longest == context:
            full = [row for row in range(len(self._writing)) if self._slots.count(row) == context]
            self._begin([self._writing[row] for row in full])  # first, so that their rows are never counted as free
            for row in reversed(full):
                self._leave(row)

    def _write(self) -> bool:
        """Write one token of each answer. Returns whether there was any to write."""
        self._make_room()
        if not self._writing:
            return False
        if self._last is None:
            self._last = torch.tensor([request.ids[-1] for request in self._writing], device=self._like.device)
        logits = self._step()(self._last, self._slots.cache())  # (rows, vocabulary)
        if self._choosing is None:
            self._choosing = Choosing(self._writing, logits.shape[1], like=logits)
            settings = enumerate(request.decoding for request in self._writing)
            self._alternatives = {row: each.alternatives for row, each in settings if each.alternatives is not None}
        chosen = self._last = self._choosing.choose(logits)
        for row, likelihood in self._likelihoods(logits, chosen).items():
            self._writing[row].likelihoods.append(likelihood)
        ended = self._tell(chosen.tolist())
        self.counts.steps += 1
        for row in reversed(ended):
            self._leave(row)
        return True

    def _tell(self, ids: list[int]) -> list[int]:
        """Add a token to each answer. Returns the rows of those that end with it."""
        beyond = self._model.spec.vocabulary_size
        ended: list[int] = []
        for row, (request, token) in enumerate(zip(self._writing, ids, strict=True)):
            finish = None
            try:
                if token >= beyond:  # where the draw falls among numbers that are none
                    raise ArithmeticError("the model's logits are no numbers")
                finish = request.ending.after(token)
                self.counts.written += 1
            except Exception as error:  # a fault in telling one answer is no fault of the others
                self.fail([request], error)
            request.ids.append(token)
            if request.first is None:
                request.first = time.monotonic()
            if finish is not None:
                self.counts.finished += 1
                request.finish = finish
                self._end(request)
            if request.ended:
                ended.append(row)
            elif request.on_token is not None:
                call, request.on_token = request.on_token, None
                self._call(request, call)
        return ended

    def _step(self) -> Step:
        """The model prepared for as many rows as there are."""
        rows = len(self._writing)
        if rows not in self._steps:
            self._steps[rows] = Step(self._model, rows, self._copies)
        return self._steps[rows]

    def _likelihoods(self, logits: Tensor, chosen: Tensor) -> dict[int, Likelihood]:
        """By row, for those who want to know."""
        wanted = self._alternatives
        if not wanted:
            return {}
        rows = torch.tensor(list(wanted), device=logits.device)
        told = likelihoods(logits[rows], chosen[rows], max(wanted.values()))
        return {
            row: Likelihood(each.log_probability, each.alternatives[:count])
            for (row, count), each in zip(wanted.items(), told, strict=True)
        }

    def _end(self, request: Request) -> None:
        request.last = time.monotonic()
        call = request.on_end or request.on_token
        if call is not None:
            self._call(request, call)

    def _call(self, request: Request, call: Callable[[], None]) -> None:
        """Call whoever waits, unless nobody listens any more."""
        if request.cancelled:
            return
        try:
            call()
        except Exception:  # whoever can't be told has gone away, which is nobody else's affair
            log.exception("a listener failed, and its request is cancelled")
            request.cancelled = True

    def _drop_writing(self) -> list[Request]:
        dropped, self._writing = self._writing, []
        self._slots.clear()
        self._choosing = self._last = None
        return dropped
