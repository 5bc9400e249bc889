"""What a server asks of a batch of running requests, and what it hears back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from glassbox.generation import Decoding, Ending, Finish, Likelihood


@dataclass(frozen=True, slots=True)
class Failure:
    """In the place of an answer's last piece: it ends here through no fault of whoever asked.

    id: also stands in the log, beside the traceback. problem: one sentence to show.
    """

    id: str
    problem: str


class Full(Exception):  # noqa: N818  (it reads as what happened: "raise Full")
    """As many requests wait already as may; another one may come later."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests wait already, which is as many as may.")
        self.waiting = waiting


class Closed(Exception):  # noqa: N818  (as above)
    """The batcher writes no longer: it was closed, or it has failed too often to go on."""


@dataclass(eq=False, slots=True)
class Request:
    """A prompt with its settings, and its answer as far as it is written.

    One thread writes it, any other may read along: `likelihoods` grows before `ids` does, and `finish` is set when both
    are whole. Nothing is made for readers, who look now and again; a step of a small model leaves no time for more.

    ids:         the prompt's, and behind them those of the answer.
    prompt:      how many of the ids are the prompt's.
    row:         for the draws: a request alone is row 0; several answers to one prompt are numbered from it.
    likelihoods: of the answer's ids, if they were asked for.
    finish:      why the answer has ended. failure: instead of it, if the model failed.
    first, last: when the first token was written, and when the answer ended, by `time.monotonic`.
    on_token:    called once, when there is another token; set by whoever waits for it.
    on_end:      called when the answer has ended. Both are called by the thread that writes, which they mustn't keep.
    cancelled:   set from any thread; whoever writes looks at it once a step.
    """

    ids: list[int]
    prompt: int
    row: int
    decoding: Decoding
    ending: Ending
    likelihoods: list[Likelihood] = field(default_factory=list)
    finish: Finish | None = None
    failure: Failure | None = None
    first: float | None = None
    last: float | None = None
    on_token: Callable[[], None] | None = None
    on_end: Callable[[], None] | None = None
    cancelled: bool = False

    @property
    def written(self) -> int:
        """Tokens of the answer."""
        return len(self.ids) - self.prompt

    @property
    def ended(self) -> bool:
        return self.finish is not None or self.failure is not None


class Ticket:
    """What whoever submitted a request holds of it."""

    def __init__(self, request: Request, forget: Callable[[Request], None]) -> None:
        self.request = request
        self._forget = forget

    def cancel(self) -> None:
        """Nobody listens any more: its row is free at the next step, and nobody is called any more."""
        self.request.cancelled = True
        self._forget(self.request)


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a batcher is, and what it has done since it began.

    rows, busy:        how many requests can be read or written at a time, and how many are.
    waiting, may_wait: how many wait for a row, and how many may.
    read, reused:      tokens of prompts that were read, and that had been read before by others.
    written:           tokens of answers.
    steps:             in which they were written; `written / steps` is the mean batch.
    finished, cancelled, failed: requests, by how they ended.
    healthy:           False once it has given up.
    """

    rows: int
    busy: int
    waiting: int
    may_wait: int
    read: int
    reused: int
    written: int
    steps: int
    finished: int
    cancelled: int
    failed: int
    healthy: bool
