"""Events are whole lines in one sequence without gap or repetition, whatever is killed, torn or full."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.workspace.events import Event, EventLog, EventReader, follow_events, read_events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def sequences(path: Path) -> list[int]:
    return [event.sequence for event in read_events(path)]


def write(path: Path, count: int, attempt: int = 1) -> None:
    log = EventLog(path, attempt)
    for number in range(count):
        log.append("log", message=f"line {number}")
    log.close()


def test_the_sequence_goes_on_across_attempts(path):
    write(path, 3)
    write(path, 2, attempt=2)
    events = list(read_events(path))
    assert [event.sequence for event in events] == [0, 1, 2, 3, 4]
    assert [event.attempt for event in events] == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "tail",
    [
        b'{"sequence":3,"time":1,"attempt":1,"kind":"log","mess',
        b'{"sequence":3,"time":1,"attempt":1,"kind":"log","message":"whole but without its line feed"}',
        b"{",
        b"\xff\xfe",
        b"\0" * 5000 + b"\n",
        b"\0" * 5000,
        b"[]\n",
        b"\n\n",
        b'{"time":1}\n{"sequence":',
        b"x" * 200_000,
    ],
    ids=lambda tail: repr(tail[:20]),
)
def test_a_torn_end_is_removed_and_its_number_given_to_the_next_event(path, tail):
    write(path, 3)
    with path.open("ab") as stream:
        stream.write(tail)
    write(path, 1, attempt=2)
    assert sequences(path) == [0, 1, 2, 3]


@given(cut=st.integers(0, 400))
def test_a_file_cut_anywhere_goes_on_behind_its_last_whole_line(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    write(path, 5)
    os.truncate(path, min(cut, path.stat().st_size))
    before = sequences(path)
    assert before == list(range(len(before)))
    write(path, 2, attempt=2)
    assert sequences(path) == list(range(len(before) + 2))


def test_an_event_longer_than_any_buffer_is_found_again(path):
    log = EventLog(path, 1)
    log.append("text", name="long", content="ä" * 300_000)
    log.close()
    write(path, 1)
    assert sequences(path) == [0, 1]


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in {"sequence", "time", "attempt", "kind"}),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            st.lists,
            max_leaves=5,
        ),
    )
)
def test_an_event_reads_back_as_it_was_written(fields):
    event = Event(3, 1.5, 2, "text", fields)
    line = event.to_json()
    assert "\n" not in line
    assert Event.from_json(line.encode("utf-8", "surrogatepass")) == event


def test_numbers_that_json_lacks_are_written_as_words_and_read_as_numbers(path):
    log = EventLog(path, 1)
    log.append("metrics", step=1, values={"loss": math.nan, "worse": math.inf, "better": -math.inf, "fine": 1})
    log.close()
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["values"]["loss"] == "NaN"
    [event] = read_events(path)
    assert math.isnan(event.fields["values"].pop("loss"))
    assert event.fields["values"] == {"worse": math.inf, "better": -math.inf, "fine": 1.0}


def test_text_that_utf8_cannot_hold_does_not_stop_a_run(path):
    log = EventLog(path, 1)
    log.append("text", name="sample", content="\ud800 broken")
    log.close()
    assert sequences(path) == [0]


def test_a_reader_gives_each_event_once_and_waits_for_the_end_of_a_line(path):
    reader = EventReader(path)
    assert list(reader.read()) == []
    log = EventLog(path, 1)
    log.append("log", message="one")
    assert [event.sequence for event in reader.read()] == [0]
    log.append("log", message="two")
    line = path.read_bytes().splitlines(keepends=True)[1]
    os.truncate(path, path.stat().st_size - 5)
    assert list(reader.read()) == []
    path.write_bytes(path.read_bytes() + line[-5:])
    assert [event.sequence for event in reader.read()] == [1]
    assert list(reader.read()) == []
    log.close()


def test_a_damaged_line_in_the_middle_is_named(path):
    write(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"?\n" + lines[2])
    with pytest.raises(BadInput, match=r"Line 2 of .*events.jsonl is damaged"):
        list(read_events(path))


def test_following_gives_every_event_of_a_writer_that_is_still_at_work(path):
    over = threading.Event()

    def work():
        log = EventLog(path, 1)
        for number in range(300):
            log.append("metrics", step=number, values={"loss": 1.0})
            if number % 50 == 0:
                time.sleep(0.05)
        log.close()
        over.set()

    writer = threading.Thread(target=work)
    writer.start()
    assert [event.sequence for event in follow_events(path, over.is_set)] == list(range(300))
    writer.join()


def test_threads_of_one_writer_share_one_sequence(path):
    log = EventLog(path, 1)
    threads = [threading.Thread(target=lambda: [log.append("log", message="x") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sequences(path) == list(range(800))


KILLED_WRITER = """
from glassbox.workspace.events import EventLog
log = EventLog(Path(sys.argv[1]) / "events.jsonl", int(os.environ["ATTEMPT"]))
number = 0
while True:
    log.append("metrics", step=number, values={"loss": 1.0, "text": float("nan")})
    number += 1
"""


def test_writers_killed_at_any_moment_leave_one_sequence_to_a_reader_that_looks_on(
    workspace, start_python, monkeypatch
):
    path = workspace.folder / "events.jsonl"
    reader, seen = EventReader(path), []
    for attempt in range(1, 6):
        monkeypatch.setenv("ATTEMPT", str(attempt))
        process = start_python(KILLED_WRITER)
        before = len(seen)
        while len(seen) < before + 50:
            assert process.poll() is None, process.stderr.read()
            seen += [event.sequence for event in reader.read()]
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen += [event.sequence for event in reader.read()]
        with path.open("ab") as stream:
            stream.write(b'{"sequence":')  # a write that the kill cut short
    seen += [event.sequence for event in reader.read()]
    assert seen == list(range(len(seen)))
    EventLog(path, 9).close()
    assert sequences(path) == seen


def test_a_full_disk_keeps_the_file_whole_and_the_next_event_gets_the_number(path, monkeypatch):
    log = EventLog(path, 1)
    log.append("log", message="one")
    real, calls = os.write, []

    def half_then_full(descriptor, data):
        calls.append(len(data))
        if len(calls) == 1:
            return real(descriptor, bytes(data)[:7])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(BadInput, match="is full"):
        log.append("log", message="two")
    monkeypatch.undo()
    assert sequences(path) == [0]
    assert path.read_bytes().endswith(b"\n")
    log.append("log", message="three")
    log.close()
    assert [event.fields["message"] for event in read_events(path)] == ["one", "three"]
    assert sequences(path) == [0, 1]


def test_a_read_ends_where_the_file_ended_even_if_a_writer_is_faster_than_the_reader(path):
    write(path, 10)
    log = EventLog(path, 2)
    seen = 0
    for _ in EventReader(path).read():
        log.append("log", message="one more")
        seen += 1
    log.close()
    assert seen == 10
