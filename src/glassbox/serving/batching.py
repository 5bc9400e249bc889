"""Continuous batching: requests come and go while a model writes, and each gets the answer that it would get alone.

One thread owns the model. In each round it admits who waits, as long as rows are free; reads one chunk of what is
still to be read; and writes one token of every answer (Orca, Yu et al. 2022, §3.1). What a round does stands in
`batch.py`; here is what goes on between threads, and what happens when a round fails.

Whatever else the model is to compute, it computes in the same thread, between two rounds. Each thread that computes
with OpenMP gets helpers of its own, and as soon as there are more of them than cores, all of them sleep between any two
operations: a second thread would cost a small model half of its speed for good.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

import torch

from glassbox.engines.tensors.transformer import Transformer
from glassbox.errors import BadInput
from glassbox.generation import Decoding, Ending
from glassbox.serving.batch import Batch
from glassbox.serving.reading import chunk_tokens
from glassbox.serving.requests import Closed, Failure, Full, Load, Request, Ticket
from glassbox.tokenizers import Tokenizer

__all__ = ["Closed", "ContinuousBatcher", "Failure", "Full", "Load", "Ticket"]

FAULTS_IN_A_ROW = 3  # after which a model counts as broken

P = ParamSpec("P")
T = TypeVar("T")


class ContinuousBatcher:
    """Answers many requests with one model at once, each as `Decoder.complete` does it alone: the same ids, and
    log-probabilities equal up to rounding (a kernel may add in another order where there are more rows).

    rows: requests that are read and written at a time. waiting: how many more may wait for a row.
    threads: that compute; None takes as many as PyTorch does.

    Raises BadInput for a model that doesn't continue text, and for numbers below 1.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        rows: int = 16,
        waiting: int = 256,
        threads: int | None = None,
    ) -> None:
        if model.spec.kind != "decoder" or model.spec.head != "language":
            raise BadInput(
                f"This model is of kind {model.spec.kind} with a head for {model.spec.head}, and only a decoder of "
                "language can be served.",
                "Choose a decoder.",
            )
        for name, number in (("rows", rows), ("waiting", waiting)):
            if number < 1:
                raise BadInput(f"{name} is {number}.", "Set it to at least 1.")
        self._spec = model.spec
        self._tokenizer = tokenizer
        self._batch = Batch(model, rows, chunk_tokens(model.spec))
        self._may_wait = waiting
        self._waiting: deque[Request] = deque()
        self._errands: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._healthy = True
        self._gone = 0  # cancelled while they waited
        self._worker: threading.Thread | None = None
        self._threads = threads or torch.get_num_threads()

    def start(self) -> None:
        """Begin to answer; to be called once."""
        self._worker = threading.Thread(target=self._work, name="batching", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """End after the round under way; whoever still waits for an answer hears a Failure."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._worker is not None:
            self._worker.join()

    def __enter__(self) -> ContinuousBatcher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, prompt: Sequence[int], decoding: Decoding, *, row: int = 0) -> Ticket:
        """Ask for the answer to the ids of a prompt; first come, first served. It grows in the ticket's request.

        row: for the draws: 0 gives what a prompt gets alone; several answers to one prompt are numbered from 0.

        Raises BadInput for a prompt that can't be continued, Full when enough wait already, Closed after `close`, and
        when the model has failed too often.
        """
        self._check(prompt, decoding)
        ending = Ending(len(prompt), decoding, self._tokenizer, self._spec.context)
        request = Request(list(prompt), len(prompt), row, decoding, ending)
        with self._changed:
            if self._closed:
                raise Closed("This model answers no longer.")
            if len(self._waiting) >= self._may_wait + self._batch.free:
                raise Full(len(self._waiting))
            self._waiting.append(request)
            self._changed.notify()
        return Ticket(request, self._forget)

    def run(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Let something else be computed in the thread that owns the model; all answers wait for it.

        Raises Closed as `submit` does, and so does the result of what still waits at the end.
        """
        done: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Closed("This model answers no longer.")
            self._errands.append((done, lambda: work(*arguments, **named)))
            self._changed.notify()
        return done

    def snapshot(self) -> Load:
        """How busy it is now; may be asked from any thread."""
        batch, counts = self._batch, self._batch.counts
        return Load(
            rows=batch.rows,
            busy=min(batch.rows, batch.busy),
            waiting=len(self._waiting),
            may_wait=self._may_wait,
            read=counts.read,
            reused=counts.reused,
            written=counts.written,
            steps=counts.steps,
            finished=counts.finished,
            cancelled=counts.cancelled + self._gone,
            failed=counts.failed,
            healthy=self._healthy,
        )

    def _forget(self, request: Request) -> None:
        """Let a cancelled request wait no longer; if it has been admitted, the worker sees to it."""
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
                self._gone += 1

    def _check(self, prompt: Sequence[int], decoding: Decoding) -> None:
        context, vocabulary = self._spec.context, self._spec.vocabulary_size
        if not prompt:
            raise BadInput("The prompt has no tokens.", "Give at least one token to go on from.")
        if decoding.at_limit == "stop" and len(prompt) >= context:
            raise BadInput(
                f"The prompt has {len(prompt):,} tokens, and the model's context of {context:,} leaves no room to "
                "answer.",
                "Shorten the prompt, or set at_limit to slide.",
            )
        wrong = next((token for token in prompt if not 0 <= token < vocabulary), None)
        if wrong is not None:
            raise BadInput(
                f"The prompt holds the id {wrong}, and the model knows ids from 0 to {vocabulary - 1}.",
                "Encode the prompt with the model's own tokenizer.",
            )

    def _work(self) -> None:
        torch.set_num_threads(self._threads)  # OpenMP counts each thread's own
        try:
            while self._admit():
                self._run_errand()
                self._batch.round()
                if self._batch.faults >= FAULTS_IN_A_ROW:
                    raise RuntimeError(f"{FAULTS_IN_A_ROW} faults in a row")
            self._end(Closed("The model was shut down."))
        except BaseException as error:  # whatever ends this thread: nobody may wait for it
            self._healthy = False
            self._end(error)

    def _admit(self) -> bool:
        """Wait for work and let in whom there is a row for; False when it's time to end."""
        with self._changed:
            while not (self._closed or self._waiting or self._errands or self._batch.busy):
                self._changed.wait()
            if self._closed:
                return False
            if not self._waiting:
                return True
            count = min(self._batch.free, len(self._waiting))
            admitted = [self._waiting.popleft() for _ in range(count)]
        try:
            self._batch.admit(admitted)
        except BaseException as error:  # nobody knows of them any more but we
            self._batch.fail(admitted, error)
            raise
        return True

    def _run_errand(self) -> None:
        """One, so that others are kept waiting no longer than it takes."""
        if not self._errands:
            return
        done, work = self._errands.popleft()
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except BaseException as error:  # its own affair, and that of whoever waits for it
            done.set_exception(error)

    def _end(self, error: BaseException) -> None:
        with self._changed:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        while self._errands:
            done, _ = self._errands.popleft()
            if done.set_running_or_notify_cancel():
                done.set_exception(Closed("The model was shut down."))
        self._batch.give_up(error)
        self._batch.fail(waiting, error)
