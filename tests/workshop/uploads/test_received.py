"""Bytes that were acknowledged are never lost, others never count, and two never write at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.workshop.problems import Conflict
from glassbox.workshop.uploads.received import Received
from glassbox.workshop.uploads.refusals import Locked


@settings(max_examples=40)
@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=12))
def test_what_was_kept_counts_and_nothing_else(pieces: list[tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        received = Received(Path(name, "uploads"))
        received.create("a")
        expected = b""
        for piece, keep in pieces:
            with received.receive("a", received.offset("a")) as receiving:
                receiving.write(piece)
                if keep:
                    receiving.keep()
                    expected += piece
            assert received.offset("a") == len(expected)
        received.finish("a", "whole.txt")
        assert received.path("a", "whole.txt").read_bytes() == expected
        received.finish("a", "whole.txt")
        assert received.beginning("a", 5) == expected[:5]


def test_another_offset_is_a_conflict_and_changes_nothing(tmp_path: Path) -> None:
    received = Received(tmp_path)
    received.create("a")
    with received.receive("a", 0) as receiving:
        receiving.write(b"12345")
        receiving.keep()
    for offset in (0, 4, 6, 10**12):
        with pytest.raises(Conflict, match=f"goes on at byte 5, not {offset:,}"):
            received.receive("a", offset)
    assert received.offset("a") == 5


def test_two_writers_at_once_are_one(tmp_path: Path) -> None:
    received = Received(tmp_path)
    received.create("a")
    with received.receive("a", 0) as receiving:
        with pytest.raises(Locked):
            received.receive("a", 0)
        receiving.write(b"1")
        receiving.keep()
    with received.receive("a", 1) as receiving:
        receiving.write(b"2")
        receiving.keep()
    assert received.offset("a") == 2


def test_a_writer_that_was_killed_holds_no_lock_and_loses_nothing_that_it_was_told(tmp_path: Path) -> None:
    """A process writes, keeps, and says so; it is killed at any moment, again and again."""
    code = textwrap.dedent("""
        import random, sys
        from pathlib import Path
        from glassbox.workshop.uploads.received import Received
        received = Received(Path(sys.argv[1]))
        while True:
            offset = received.offset("a")
            with received.receive("a", offset) as receiving:
                for _ in range(random.randint(1, 3)):
                    receiving.write(bytes((receiving.offset + i) % 251 for i in range(random.randint(1, 5000))))
                receiving.keep()
                print(receiving.kept, flush=True)
    """)
    received = Received(tmp_path)
    received.create("a")
    told = 0
    for attempt in range(5):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(random.Random(attempt).randint(1, 60)):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split(b"\n")[:-1]
        process.wait()
        told = int(rest[-1]) if rest else told
        assert received.offset("a") >= told
    told = received.offset("a")
    received.finish("a", "whole.bin")
    assert received.path("a", "whole.bin").read_bytes() == bytes(number % 251 for number in range(told))


def test_what_came_behind_the_last_confirmed_byte_is_cut_off(tmp_path: Path) -> None:
    received = Received(tmp_path)
    received.create("a")
    with received.receive("a", 0) as receiving:
        receiving.write(b"good")
        receiving.keep()
        receiving.write(b"never confirmed")
    received.finish("a", "a.txt")
    assert received.path("a", "a.txt").read_bytes() == b"good"


def test_one_that_is_gone_has_no_bytes(tmp_path: Path) -> None:
    received = Received(tmp_path / "none")
    assert received.offset("a") == 0
    assert received.ids() == []
    assert received.age("a") == 0.0
    with pytest.raises(Conflict, match="whole, or was deleted"):
        received.receive("a", 0)
    received.remove("a")


def test_a_full_disk_keeps_what_was_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received = Received(tmp_path)
    received.create("a")
    with received.receive("a", 0) as receiving:
        receiving.write(b"1234")
        receiving.keep()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"), received.receive("a", 4) as receiving:

        def full(*_: object) -> int:
            raise OSError(28, "full")

        receiving.write(b"5")
        patch.setattr(os, "fsync", full)
        receiving.keep()
    assert received.offset("a") == 4
