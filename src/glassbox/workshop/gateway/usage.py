"""What people asked of models: one entry for each request, written in batches, and summed up by day.

An entry is in memory for a second at most before it is in the database: never a write for a token, nor one for a
request. A workshop that ends in good order writes what is left; one that is killed loses that last second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from glassbox.workshop.database import Database
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.database.tables import ModelRequestRow, UsageDayRow

DAY = 24 * 3600
KEPT_DAYS = 30  # of single requests; sums by day stay
GONE = 499
"""The status of a request whose client went before the end."""

_PAUSE = 1.0  # seconds between two batches
_MOST_UNWRITTEN = 100_000  # while the database is away
_log = logging.getLogger("glassbox.workshop.usage")


def day_of(moment: float) -> int:
    """Days since 1970-01-01, in UTC."""
    return int(moment // DAY)


@dataclass(frozen=True)
class Entry:
    """One request. key: "" for a browser. first_token_seconds: of one that was streamed."""

    id: str
    time: float
    user: str
    key: str
    model: str
    endpoint: str
    status: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float | None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def failed(self) -> bool:
        return self.status >= 400 and self.status != GONE


class UsageLog:
    """Takes entries from any thread; one thread writes them down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, daemon=True, name="usage")
        self._thread.start()

    def close(self) -> None:
        """Write down what is left."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self.write()

    def note(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)

    def write(self) -> None:
        """Write down all entries so far; those that can't be stay for the next time."""
        with self._writing:
            with self._lock:
                entries, self._entries = self._entries, []
            if not entries:
                return
            try:
                with self._database.writing() as session:
                    _add(session, entries)
            except DatabaseAway as error:
                _log.warning("%d entries of usage wait for the database: %s", len(entries), error)
                with self._lock:
                    self._entries = (entries + self._entries)[-_MOST_UNWRITTEN:]

    def _work(self) -> None:
        swept = 0.0
        while not self._ending.wait(_PAUSE):
            try:
                self.write()
                if time.monotonic() - swept > 3600:
                    self._sweep()
                    swept = time.monotonic()
            except Exception:
                _log.exception("usage could not be written; the next try is due in a second")

    def _sweep(self) -> None:
        with self._database.writing() as session:
            before = time.time() - KEPT_DAYS * DAY
            session.execute(delete(ModelRequestRow).where(ModelRequestRow.time < before))


@dataclass(frozen=True)
class Used:
    """What one key of a person asked of a model on a day."""

    day: int
    user: str
    key: str
    model: str
    requests: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float
    streamed: int


def used(database: Database, first_day: int, last_day: int, user: str | None, limit: int) -> tuple[list[Used], bool]:
    """The sums of those days, newest first; user: of that person alone. Were there more than the limit?"""
    query = select(UsageDayRow).where(UsageDayRow.day.between(first_day, last_day))
    if user is not None:
        query = query.where(UsageDayRow.user == user)
    order = (UsageDayRow.day.desc(), UsageDayRow.user, UsageDayRow.key, UsageDayRow.model)
    with database.reading() as session:
        rows = session.scalars(query.order_by(*order).limit(limit + 1)).all()
    told = [
        Used(
            row.day, row.user, row.key, row.model, row.requests, row.failures, row.prompt_tokens,
            row.completion_tokens, row.seconds, row.first_token_seconds, row.streamed,
        )
        for row in rows[:limit]
    ]  # fmt: skip
    return told, len(rows) > limit


def requests(database: Database, user: str | None, before: int | None, limit: int) -> list[tuple[int, Entry]]:
    """Single requests, the newest first, with their numbers; before: only those with a smaller one."""
    query = select(ModelRequestRow).order_by(ModelRequestRow.row.desc()).limit(limit)
    if user is not None:
        query = query.where(ModelRequestRow.user == user)
    if before is not None:
        query = query.where(ModelRequestRow.row < before)
    with database.reading() as session:
        return [
            (
                row.row,
                Entry(
                    row.id, row.time, row.user, row.key, row.model, row.endpoint, row.status, row.prompt_tokens,
                    row.completion_tokens, row.seconds, row.first_token_seconds,
                ),
            )
            for row in session.scalars(query)
        ]  # fmt: skip


def tokens_on(database: Database, day: int, *, user: str | None = None, key: str | None = None) -> int:
    """Tokens that a person, or a key, used on a day, as far as that is written down."""
    total = func.sum(UsageDayRow.prompt_tokens + UsageDayRow.completion_tokens)
    query = select(total).where(UsageDayRow.day == day)
    query = query.where(UsageDayRow.key == key) if user is None else query.where(UsageDayRow.user == user)
    with database.reading() as session:
        return int(session.scalar(query) or 0)


def times_since(database: Database, moment: float, *, user: str | None = None, key: str | None = None) -> list[float]:
    """When a person, or a key, asked since then, as far as that is written down; the oldest first."""
    query = select(ModelRequestRow.time).where(ModelRequestRow.time > moment)
    query = query.where(ModelRequestRow.key == key) if user is None else query.where(ModelRequestRow.user == user)
    with database.reading() as session:
        return list(session.scalars(query.order_by(ModelRequestRow.time)))


def _add(session: Session, entries: Sequence[Entry]) -> None:
    session.execute(insert(ModelRequestRow), [vars(entry) for entry in entries])
    days: dict[tuple[int, str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        days[day_of(entry.time), entry.user, entry.key, entry.model].append(entry)
    for (day, user, key, model), some in days.items():
        row = session.get(UsageDayRow, (day, user, key, model))
        if row is None:
            row = UsageDayRow(
                day=day, user=user, key=key, model=model, requests=0, failures=0, prompt_tokens=0,
                completion_tokens=0, seconds=0.0, first_token_seconds=0.0, streamed=0,
            )  # fmt: skip
            session.add(row)
        firsts = [entry.first_token_seconds for entry in some if entry.first_token_seconds is not None]
        row.requests += len(some)
        row.failures += sum(entry.failed for entry in some)
        row.prompt_tokens += sum(entry.prompt_tokens for entry in some)
        row.completion_tokens += sum(entry.completion_tokens for entry in some)
        row.seconds += sum(entry.seconds for entry in some)
        row.first_token_seconds += sum(firsts)
        row.streamed += len(firsts)
