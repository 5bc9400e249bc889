"""The lines of a file of events."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from glassbox.workshop.live.event_lines import EventLines
from glassbox.workspace.strict_json import to_json


@given(some.lists(some.integers(0, 3000), max_size=6), some.data())
def test_every_line_is_found_by_its_number_however_the_file_grew(
    tmp_path_factory: pytest.TempPathFactory, growths: list[int], data: some.DataObject
):
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    lines, written = EventLines(path), []
    for growth in growths:
        new = [f'{{"sequence":{len(written) + place}}}'.encode() for place in range(growth)]
        written += new
        with path.open("ab") as stream:
            stream.writelines(line + b"\n" for line in new)
        assert lines.refresh() is bool(new)
        assert lines.count == len(written)
    first = data.draw(some.integers(0, len(written) + 2))
    most = data.draw(some.integers(1, 2500))
    assert lines.read(first, most) == written[first : first + most]


def test_a_line_counts_once_it_is_whole(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    lines = EventLines(path)
    assert not lines.refresh()
    path.write_bytes(b'{"sequence":0}\n{"sequ')
    assert lines.refresh()
    assert not lines.refresh()
    assert lines.read(0, 10) == [b'{"sequence":0}']
    with path.open("ab") as stream:
        stream.write(b'ence":1}\n')
    assert lines.refresh()
    assert lines.read(1, 10) == [b'{"sequence":1}']


def test_a_line_longer_than_what_is_read_at_once_is_one_line(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    long = b'{"message":"' + b"x" * 3_000_000 + b'"}'
    path.write_bytes(b"{}\n" + long + b"\n{}\n")
    lines = EventLines(path)
    assert lines.refresh()
    assert lines.count == 3
    assert lines.read(0, 10) == [b"{}", long]
    assert lines.read(2, 10) == [b"{}"]


def test_where_the_workspace_lies_is_not_passed_on(tmp_path: Path):
    workspace = tmp_path / 'the "wörk" space'
    path = workspace / "runs" / "collect-abc" / "events.jsonl"
    path.parent.mkdir(parents=True)
    event = {"kind": "error", "problem": f"The disk that holds {workspace}/runs is full."}
    path.write_text(to_json(event) + "\n", encoding="utf-8")
    lines = EventLines(path)
    assert lines.refresh()
    [line] = lines.read(0, 1)
    assert json.loads(line) == {**event, "problem": "The disk that holds the workspace/runs is full."}


def test_what_is_read_at_once_is_bounded(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 99)
    lines = EventLines(path)
    lines.refresh()
    assert len(lines.read(0, 1000, most_bytes=1000)) == 10


def test_lines_are_counted_once_however_many_look_at_the_same_moment(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"a line of some length\n" * 200_000)
    lines = EventLines(path)
    with ThreadPoolExecutor(8) as looking:
        grown = list(looking.map(lambda _: lines.refresh(), range(8)))
    assert grown.count(True) == 1
    assert lines.count == 200_000
    assert lines.read(199_999, 10) == [b"a line of some length"]
