"""Keeps one deployment served: starts its process, looks after it, starts it again, replaces it, lets it sleep.

A process ends with the workshop, and a workshop that starts begins with none: so there is never an orphan and never a
second one, whatever was killed. What that costs is loading the model again; what was being answered would have been cut
off anyway, because it goes through the workshop.

One thread does all of it, in small steps that never wait for long, and nobody else changes what it holds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from glassbox.errors import BadInput
from glassbox.serving.protocol.health import Health
from glassbox.serving.protocol.models import Model
from glassbox.workshop.gateway.child import Child
from glassbox.workshop.gateway.target import Patience, Target

State = Literal["starting", "ready", "asleep", "stopped", "failed"]

_log = logging.getLogger("glassbox.workshop.models")
_SOON, _LATER = 0.05, 1.0  # seconds between two steps, while something is on its way, and else
_MOST_WAITING = 256  # requests for a process that isn't there yet


class NotServed(Exception):  # noqa: N818  (it says what is so)
    """No process will answer for now. temporary: may the next try find one?"""

    def __init__(self, reason: str, *, temporary: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.temporary = temporary


class Notes(Protocol):
    """Where it is written down what became of versions; may raise, and is then called again."""

    def answers(self, target: Target, card: str | None) -> None: ...

    def refused(self, target: Target, problem: str) -> None: ...


@dataclass(frozen=True)
class Condition:
    """How a deployment is.

    note:     why, where that isn't plain.         since:   when the state began, in seconds since 1970.
    version:  the one that answers, if any does.   coming:  the one that is being started, if one is.
    starts:   processes that were started since the workshop was.
    health:   what its process said last, of those that say anything.
    """

    state: State
    since: float
    note: str | None
    version: int | None
    coming: int | None
    starts: int
    in_flight: int
    health: Health | None
    lines: list[str]


class Keeper:
    """target: what to serve; None serves nothing. start: at once, also if it may sleep until it is needed."""

    def __init__(
        self, target: Target | None, workspace: Path, notes: Notes, patience: Patience, *, start: bool = False
    ) -> None:
        self._workspace, self._notes, self._patience = workspace, notes, patience
        self._something = threading.Condition()
        self._target = target
        self._needed = start
        self._closing = False
        self._waiting: list[Future[Child]] = []
        self._serving: Child | None = None
        self._coming: Child | None = None
        self._retired: list[tuple[Child, float, float | None]] = []  # when it was retired, and when it was asked to end
        self._failed: str | None = None
        self._note: str | None = None
        self._failures = 0  # ends that nobody wanted, one soon after the other
        self._failed_starts = 0  # of those, without an answer between
        self._not_before = 0.0
        self._next_look = 0.0
        self._served_since = 0.0
        self._used = time.monotonic()
        self._starts = 0
        self._last_lines: list[str] = []
        self._state: State = "stopped"
        self._state_since = time.time()
        self._to_note: deque[Callable[[], None]] = deque()
        self._thread = threading.Thread(target=self._work, daemon=True, name="keeper")
        self._thread.start()

    # Asked from any thread

    @property
    def target(self) -> Target | None:
        return self._target

    def want(self, target: Target | None, *, start: bool = True) -> None:
        """Serve this from now on. What answers goes on doing so until its successor does."""
        with self._something:
            self._target, self._failed, self._not_before, self._note = target, None, 0.0, None
            self._failures = self._failed_starts = 0
            self._needed = self._needed or start
            self._something.notify()

    def child(self) -> Child | None:
        """The process that answers, if one does just now."""
        self._used = time.monotonic()
        return self._serving

    def ready(self) -> Future[Child]:
        """The process that answers, as soon as one does. Fails with NotServed."""
        future: Future[Child] = Future()
        with self._something:
            if len(self._waiting) >= _MOST_WAITING:
                future.set_exception(NotServed("Too many requests wait for this model to start.", temporary=True))
                return future
            self._used = time.monotonic()
            self._needed = True
            self._waiting.append(future)
            self._something.notify()
        return future

    def look_now(self) -> None:
        """Something seems wrong with the process: see."""
        with self._something:
            self._next_look = 0.0
            self._something.notify()

    def condition(self) -> Condition:
        serving, coming = self._serving, self._coming
        shown = coming or serving
        return Condition(
            state=self._state,
            since=self._state_since,
            note=self._failed or self._note,
            version=None if serving is None else serving.target.version,
            coming=None if coming is None else coming.target.version,
            starts=self._starts,
            in_flight=0 if serving is None else serving.in_flight,
            health=None if serving is None else serving.health,
            lines=self._last_lines if shown is None else shown.lines,
        )

    def begin_to_close(self) -> None:
        """Let its process end."""
        with self._something:
            self._closing, self._target = True, None
            self._something.notify()

    def close(self) -> None:
        """End its process, and return when that is done."""
        self.begin_to_close()
        self._thread.join()

    # The thread

    def _work(self) -> None:
        while True:
            pause = _LATER
            try:
                pause = self._step()
            except Exception:
                _log.exception("a keeper's step failed; the next one is due in a second")
            with self._something:
                if self._closing and not self._retired and self._serving is None and self._coming is None:
                    self._settle_waiting()
                    return
                self._something.wait(pause)

    def _step(self) -> float:
        """One look at everything; returns the seconds until the next one is due, unless something happens before."""
        target = self._target
        self._end_retired()
        if target is None:
            self._retire_all()
        else:
            self._look_after_serving(target)
            self._look_after_coming(target)
            self._start_what_is_due(target)
            self._sleep_when_idle(target)
        self._write_notes()
        self._settle_waiting()
        self._settle_state()
        on_its_way = self._coming is not None or self._retired
        return _SOON if on_its_way else min(_LATER, self._patience.look)

    def _look_after_serving(self, target: Target) -> None:
        child, now = self._serving, time.monotonic()
        if child is None:
            return
        if child.exit_code is not None:
            self._serving = None
            self._gone(child, child.why_it_ended(), answered=True)
            return
        if now - self._served_since > self._patience.settled:
            self._failures = self._failed_starts = 0
        if child.target.memory is not None and (held := child.memory()) > child.target.memory:
            self._serving = None
            self._killed(child, f"The model's process held {held:,} bytes, and {child.target.memory:,} are allowed.")
            return
        if now < self._next_look:
            return
        self._next_look = now + self._patience.look
        if not child.look(self._patience.answer) and child.misses >= self._patience.looks:
            self._serving = None
            seconds = self._patience.looks * self._patience.look
            reason = f"The model's process hung: it gave no sign of life for {seconds:.0f} seconds."
            self._killed(child, reason, answered=True)

    def _look_after_coming(self, target: Target) -> None:
        child = self._coming
        if child is None:
            return
        if child.target != target:
            self._coming = None
            self._retire(child)
        elif child.exit_code is not None:
            self._coming = None
            self._gone(child, child.why_it_ended(), final=child.needs_a_person)
        elif child.port is not None and child.look(min(1.0, self._patience.answer)):
            self._welcome(child)
        elif time.monotonic() - child.started > (patience := self._patience.until_ready(target.engine)):
            self._coming = None
            self._killed(child, f"The model's process gave no answer within {patience:.0f} seconds of its start.")

    def _welcome(self, child: Child) -> None:
        """It answers: from now on it is the one that is asked."""
        before, self._serving, self._coming = self._serving, child, None
        self._served_since = self._used = time.monotonic()
        self._next_look = self._served_since + self._patience.look
        self._note = None
        card = _card(child.ask("/v1/models", self._patience.answer))
        self._to_note.append(lambda: self._notes.answers(child.target, card))
        _log.info("model answers", extra={"fields": {"model": child.target.name, "version": child.target.version}})
        if before is not None:
            self._retire(before)

    def _start_what_is_due(self, target: Target) -> None:
        if self._coming is not None or self._failed is not None or time.monotonic() < self._not_before:
            return
        if self._serving is not None and self._serving.target == target:
            return
        if self._serving is None and target.unload_after is not None and not self._needed:
            return
        try:
            self._coming = Child(target, self._workspace, self._notice)
            self._starts += 1
        except (BadInput, OSError) as error:
            self._give_up(target, str(error), final=isinstance(error, BadInput))

    def _sleep_when_idle(self, target: Target) -> None:
        child = self._serving
        if child is None or target.unload_after is None or child.target != target or child.in_flight:
            return
        if time.monotonic() - self._used > target.unload_after:
            self._serving, self._needed = None, False
            self._note = f"Ended after {target.unload_after} seconds without a request; the next one starts it."
            self._retire(child)

    # What went wrong

    def _killed(self, child: Child, reason: str, *, answered: bool = False) -> None:
        child.kill()
        self._gone(child, reason, answered=answered)

    def _gone(self, child: Child, reason: str, *, final: bool = False, answered: bool = False) -> None:
        self._last_lines = child.lines
        child.forget()
        _log.warning("model's process ended", extra={"fields": {"model": child.target.name, "reason": reason}})
        self._give_up(child.target, reason, final=final, answered=answered)

    def _give_up(self, target: Target, reason: str, *, final: bool, answered: bool = False) -> None:
        """For good, for now, or in favour of the version that still answers.

        answered: it was no failed start. Whatever kills a process that answers, a crash that a request can bring about
        or the system, nobody shall have to start it again by hand.
        """
        with self._something:
            if self._target != target:
                return  # something else is wanted by now
            if self._serving is not None:
                self._target = self._serving.target
                self._note = (
                    f"Version {target.version} did not come to answer, so {self._target.version} goes on: {reason}"
                )
                self._to_note.append(lambda: self._notes.refused(target, reason))
                return
            self._failures += 1
            self._failed_starts = 0 if answered else self._failed_starts + 1
            if final or self._failed_starts >= self._patience.starts:
                self._failed = reason
                self._to_note.append(lambda: self._notes.refused(target, reason))
                return
            pause = min(self._patience.pause * 2 ** (self._failures - 1), self._patience.longest)
            self._not_before = time.monotonic() + pause
            self._needed = True
            tries = f" (try {self._failed_starts + 1} of {self._patience.starts})" if self._failed_starts else ""
            self._note = f"{reason} It is started again{tries}."

    # The end of processes

    def _retire_all(self) -> None:
        for child in (self._serving, self._coming):
            if child is not None:
                self._retire(child, at_once=True)
        self._serving = self._coming = None
        self._needed = False

    def _retire(self, child: Child, *, at_once: bool = False) -> None:
        """It is asked no more; it ends when it has given its answers."""
        now = time.monotonic()
        if at_once:
            child.ask_to_end()
        self._retired.append((child, now, now if at_once else None))

    def _end_retired(self) -> None:
        now, still = time.monotonic(), list[tuple[Child, float, float | None]]()
        for child, since, asked in self._retired:
            if child.exit_code is not None:
                self._last_lines = child.lines
                child.forget()
                continue
            if asked is None and (child.in_flight == 0 or now - since > self._patience.drain):
                child.ask_to_end()
                asked = now
            elif asked is not None and now - asked > self._patience.end:
                child.kill()
            still.append((child, since, asked))
        self._retired = still

    # What others hear

    def _settle_waiting(self) -> None:
        with self._something:
            answer: Child | NotServed | None = self._serving
            if self._target is None:
                answer = NotServed("This model is stopped.", temporary=False)
            elif answer is None and self._failed is not None:
                answer = NotServed(self._failed, temporary=False)
            if answer is None:
                return
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            with contextlib.suppress(InvalidStateError):  # whoever waited has gone
                if isinstance(answer, NotServed):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _settle_state(self) -> None:
        state: State
        if self._target is None:
            state = "stopped"
        elif self._serving is not None:
            state = "ready"
        elif self._failed is not None:
            state = "failed"
        elif self._coming is None and self._target.unload_after is not None and not self._needed:
            state = "asleep"
        else:
            state = "starting"
        if state != self._state:
            self._state, self._state_since = state, time.time()

    def _write_notes(self) -> None:
        while self._to_note:
            try:
                self._to_note[0]()
            except Exception as error:  # the database is away: the next step tries again
                _log.warning("what became of a model could not be written down yet: %s", error)
                return
            self._to_note.popleft()

    def _notice(self) -> None:
        with self._something:
            self._something.notify()


def _card(body: bytes | None) -> str | None:
    """What the process says of its model, as far as it is anybody's business; None if it says nothing of use."""
    try:
        said: dict[str, Any] = json.loads(body or b"")["data"][0]
        if "max_model_len" in said:  # vLLM's, which also tells paths of this machine
            return json.dumps({"context": int(said["max_model_len"])})
        return Model.model_validate(said).model_dump_json(exclude={"id", "object", "created", "owned_by"})
    except (ValueError, LookupError, TypeError):
        return None
