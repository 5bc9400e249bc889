"""Usage is written in batches, summed up by day, and outlives the workshop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import until

from glassbox.workshop.database import Database
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.database.tables import ModelRequestRow, UsageDayRow
from glassbox.workshop.gateway.usage import (
    DAY,
    GONE,
    KEPT_DAYS,
    Entry,
    UsageLog,
    day_of,
    requests,
    times_since,
    tokens_on,
    used,
)

NOON = 20_000 * DAY + DAY / 2
ENTRY = Entry("r1", NOON, "ada", "k1", "tutor", "chat/completions", 200, 5, 4, 0.5, 0.1)


def test_entries_are_written_within_a_second_or_so(database: Database):
    log = UsageLog(database)
    log.start()
    log.note(replace(ENTRY, time=time.time()))
    until(lambda: requests(database, None, None, 10), "it was written")
    log.close()


def test_closing_writes_what_is_left(database: Database):
    log = UsageLog(database)
    log.start()
    log.note(ENTRY)
    log.close()
    [(number, entry)] = requests(database, "ada", None, 10)
    assert number == 1
    assert entry == ENTRY
    assert requests(database, "bob", None, 10) == []


entries = st.lists(
    st.builds(
        Entry,
        id=st.just("r"),
        time=st.sampled_from([NOON, NOON + DAY]),
        user=st.sampled_from(["ada", "bob"]),
        key=st.sampled_from(["", "k1"]),
        model=st.sampled_from(["tutor", "poet"]),
        endpoint=st.just("completions"),
        status=st.sampled_from([200, 400, GONE, 502]),
        prompt_tokens=st.integers(0, 1000),
        completion_tokens=st.integers(0, 1000),
        seconds=st.sampled_from([0.5, 1.0]),
        first_token_seconds=st.sampled_from([None, 0.25]),
    )
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(entries, max_size=4))
def test_sums_are_those_of_the_entries_however_they_are_batched(database: Database, batches: list[list[Entry]]):
    with database.writing() as session:
        session.query(UsageDayRow).delete()
        session.query(ModelRequestRow).delete()
    log = UsageLog(database)
    for batch in batches:
        for entry in batch:
            log.note(entry)
        log.write()
    everything = [entry for batch in batches for entry in batch]
    rows, more = used(database, 0, 30_000, None, 1000)
    assert not more
    assert sum(row.requests for row in rows) == len(everything)
    assert sum(row.failures for row in rows) == sum(entry.status in (400, 502) for entry in everything)
    assert sum(row.streamed for row in rows) == sum(entry.first_token_seconds is not None for entry in everything)
    assert sum(row.seconds for row in rows) == sum(entry.seconds for entry in everything)
    assert len({(row.day, row.user, row.key, row.model) for row in rows}) == len(rows)
    assert [row.day for row in rows] == sorted((row.day for row in rows), reverse=True)
    of_ada = [entry for entry in everything if entry.user == "ada" and day_of(entry.time) == day_of(NOON)]
    assert tokens_on(database, day_of(NOON), user="ada") == sum(entry.tokens for entry in of_ada)
    with_key = [entry for entry in everything if entry.key == "k1" and day_of(entry.time) == day_of(NOON)]
    assert tokens_on(database, day_of(NOON), key="k1") == sum(entry.tokens for entry in with_key)
    assert len(times_since(database, NOON, user="ada")) == sum(
        entry.user == "ada" and entry.time > NOON for entry in everything
    )


def test_entries_wait_while_the_database_is_away(database: Database, monkeypatch: pytest.MonkeyPatch):
    log = UsageLog(database)
    log.note(ENTRY)

    @contextlib.contextmanager
    def away(_: Database) -> Iterator[None]:
        raise DatabaseAway("gone")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Database, "writing", away)
        log.write()
    log.note(replace(ENTRY, id="r2"))
    log.write()
    assert [entry.id for _, entry in requests(database, None, None, 10)] == ["r2", "r1"]
    assert used(database, 0, 30_000, None, 10)[0][0].requests == 2


def test_single_requests_go_after_a_month_and_sums_stay(database: Database):
    log = UsageLog(database)
    log.note(replace(ENTRY, time=time.time() - (KEPT_DAYS + 1) * DAY))
    log.note(replace(ENTRY, time=time.time()))
    log.write()
    log.start()
    until(lambda: len(requests(database, None, None, 10)) == 1, "the old one was swept away")
    log.close()
    assert len(used(database, 0, 30_000, None, 10)[0]) == 2


def test_a_page_of_requests_goes_on_where_the_last_one_ended(database: Database):
    log = UsageLog(database)
    for number in range(5):
        log.note(replace(ENTRY, id=f"r{number}"))
    log.write()
    first = requests(database, None, None, 2)
    assert [entry.id for _, entry in first] == ["r4", "r3"]
    assert [entry.id for _, entry in requests(database, None, first[-1][0], 2)] == ["r2", "r1"]


def test_a_report_tells_when_there_is_more(database: Database):
    log = UsageLog(database)
    for day in range(3):
        log.note(replace(ENTRY, time=NOON + day * DAY))
    log.write()
    rows, more = used(database, 0, 30_000, None, 2)
    assert (len(rows), more) == (2, True)
