"""How much a person, and each of their keys, may ask: requests in a minute, tokens in a day (UTC).

What was asked before this workshop was started counts too: it is read from the usage that is written down, the first
time that somebody asks. What a request costs is known when it has ended, so whoever is below the limit may begin, and
answers that are being written then may lead past it. Several workshops on one database each count what they pass on.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import select

from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import ApiKeyRow, LimitRow
from glassbox.workshop.gateway.usage import DAY, Entry, day_of, times_since, tokens_on

EVERYONE = ""
"""The person of the limits that hold for everyone who has none of their own."""

_MINUTE = 60.0
_READ_AGAIN = 5.0  # seconds after which the limits of persons are read from the database again


@dataclass(frozen=True)
class Limits:
    """None: as much as one likes."""

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None


@dataclass(frozen=True)
class Allowance:
    """The tightest limit of a kind: how much it is, how much of it is left, and seconds until it is whole again."""

    limit: int
    left: int
    resets: float


class Exceeded(Exception):  # noqa: N818  (it says what happened)
    """A limit is reached. seconds: until asking again is right."""

    def __init__(self, kind: Literal["requests", "tokens"], whose: str, limit: int, seconds: float) -> None:
        super().__init__(f"{whose} may ask {limit} {kind}")
        self.kind: Literal["requests", "tokens"] = kind
        self.whose = whose
        self.limit = limit
        self.seconds = seconds


@dataclass
class _Count:
    """Of a person or a key: when they asked within the last minute, and the tokens of a day."""

    times: deque[float] = field(default_factory=deque[float])
    day: int = 0
    tokens: int = 0

    def forget_before(self, moment: float) -> None:
        while self.times and self.times[0] <= moment:
            self.times.popleft()


class Quotas:
    """Admits requests, and counts what they cost. May be used by several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[str, str], _Count] = {}
        self._of_keys: dict[str, Limits] = {}  # they never change
        self._of_persons: dict[str, Limits] = {}
        self._read = -math.inf  # when those of persons were read, by time.monotonic
        self._lock = threading.Lock()

    def limits_of(self, person: str) -> Limits | None:
        """What was set for a person (or EVERYONE), if anything was."""
        with self._database.reading() as session:
            row = session.get(LimitRow, person)
            return None if row is None else Limits(row.requests_per_minute, row.tokens_per_day)

    def set_limits(self, person: str, limits: Limits | None) -> None:
        """None: those of everyone hold again."""
        with self._database.writing() as session:
            if limits is not None:
                session.merge(LimitRow(person=person, **vars(limits)))
            elif (row := session.get(LimitRow, person)) is not None:
                session.delete(row)
        self._read = -math.inf

    def admit(self, actor: Actor) -> dict[Literal["requests", "tokens"], Allowance]:
        """Count a request, and tell what is left. Raises Exceeded, and then it isn't counted."""
        now = time.time()
        held = list(self._held(actor))
        counts = [(self._count(kind, identity, now), limits, whose) for kind, identity, limits, whose in held]
        with self._lock:
            for count, limits, whose in counts:
                self._check(count, limits, whose, now)
            for count, _, _ in counts:
                count.times.append(now)
            return _left([(count, limits) for count, limits, _ in counts], now)

    def note(self, entry: Entry) -> None:
        """Count what a request has cost."""
        with self._lock:
            for identity in (("person", entry.user), ("key", entry.key)):
                count = self._counts.get(identity)
                if count is not None and count.day == day_of(entry.time):
                    count.tokens += entry.tokens

    def _held(self, actor: Actor) -> Iterator[tuple[Literal["person", "key"], str, Limits, str]]:
        persons = self._limits_of_persons()
        yield "person", actor.id, persons.get(actor.id) or persons.get(EVERYONE) or Limits(), "You"
        if actor.key is not None:
            yield "key", actor.key, self._limits_of_key(actor.key), "This key"

    def _limits_of_persons(self) -> dict[str, Limits]:
        """All that are set; what another workshop on this database sets is seen some seconds later."""
        now = time.monotonic()
        if now - self._read > _READ_AGAIN:
            with self._database.reading() as session:
                rows = session.scalars(select(LimitRow)).all()
            self._of_persons = {row.person: Limits(row.requests_per_minute, row.tokens_per_day) for row in rows}
            self._read = now
        return self._of_persons

    def _limits_of_key(self, key: str) -> Limits:
        if key not in self._of_keys:
            with self._database.reading() as session:
                row = session.get(ApiKeyRow, key)
            self._of_keys[key] = Limits() if row is None else Limits(row.requests_per_minute, row.tokens_per_day)
        return self._of_keys[key]

    def _count(self, kind: Literal["person", "key"], identity: str, now: float) -> _Count:
        """What was asked so far: from memory, or, the first time on a day, from what is written down."""
        today = day_of(now)
        count = self._counts.get((kind, identity))
        if count is not None and count.day == today:
            return count
        user, key = (identity, None) if kind == "person" else (None, identity)
        tokens = tokens_on(self._database, today, user=user, key=key)
        times = times_since(self._database, now - _MINUTE, user=user, key=key) if count is None else []
        with self._lock:
            count = self._counts.setdefault((kind, identity), _Count(deque(times)))
            if count.day != today:
                count.day, count.tokens = today, tokens
            return count

    def _check(self, count: _Count, limits: Limits, whose: str, now: float) -> None:
        count.forget_before(now - _MINUTE)
        minute, day = limits.requests_per_minute, limits.tokens_per_day
        if minute is not None and len(count.times) >= minute:
            oldest = count.times[-minute] if minute else now
            raise Exceeded("requests", whose, minute, oldest + _MINUTE - now)
        if day is not None and count.tokens >= day:
            raise Exceeded("tokens", whose, day, (count.day + 1) * DAY - now)


def _left(counts: list[tuple[_Count, Limits]], now: float) -> dict[Literal["requests", "tokens"], Allowance]:
    requests = [
        Allowance(limit, limit - len(count.times), count.times[0] + _MINUTE - now)
        for count, limits in counts
        if (limit := limits.requests_per_minute) is not None
    ]
    tokens = [
        Allowance(limit, max(0, limit - count.tokens), (count.day + 1) * DAY - now)
        for count, limits in counts
        if (limit := limits.tokens_per_day) is not None
    ]
    found: dict[Literal["requests", "tokens"], Allowance] = {}
    if requests:
        found["requests"] = min(requests, key=lambda one: one.left)
    if tokens:
        found["tokens"] = min(tokens, key=lambda one: one.left)
    return found
