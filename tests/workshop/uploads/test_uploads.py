"""Uploads as a service: quotas, what came is looked into, what nobody goes on with goes, and kills lose nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glassbox.errors import BadInput
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import UserRow
from glassbox.workshop.problems import Conflict, NotFound, TooLarge
from glassbox.workshop.uploads import check_process
from glassbox.workshop.uploads.check_process import CheckRequest, answer
from glassbox.workshop.uploads.checking import Checker, CheckFault, Stopped
from glassbox.workshop.uploads.limits import UploadLimits
from glassbox.workshop.uploads.refusals import NoRoom
from glassbox.workshop.uploads.uploads import Upload, Uploads

LIMITS = UploadLimits(largest=1000, per_person=1500, in_all=2000, uploads_per_person=3, free_disk=0)


class Store(NamedTuple):
    uploads: Uploads
    ann: str
    bob: str
    database: Database

    def brought(self, label: str, content: bytes, **more: str) -> Upload:
        upload = self.uploads.begin(self.ann, label=label, length=len(content), **more)  # sha256, content_type
        if content:
            with self.uploads.receive(upload.id, 0) as receiving:
                receiving.write(content)
                receiving.keep()
        return self.uploads.get(upload.id)

    def looked_into(self, upload: Upload) -> Upload:
        """Wait until it is."""
        deadline = time.monotonic() + 60
        while (found := self.uploads.get(upload.id)).state == "checking":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found


@pytest.fixture
def store(database: Database, own_workspace: Path) -> Iterator[Store]:
    users = Users(database)
    uploads = Uploads(own_workspace / "uploads", database, LIMITS)
    made = Store(uploads, users.add("ann", "member", None).id, users.add("bob", "member", None).id, database)
    yield made
    uploads.stop()


@pytest.fixture
def working(store: Store) -> Store:
    store.uploads.start()
    return store


def test_a_file_comes_whole_and_is_looked_into(working: Store) -> None:
    content = b'{"text": "once upon a time"}\n{"text": "and then"}\n'
    upload = working.brought("Tales.jsonl", content, sha256=hashlib.sha256(content).hexdigest())
    found = working.looked_into(upload)
    assert (found.state, found.file, found.problem) == ("ready", "tales.jsonl", None)
    assert found.inspection is not None
    assert found.inspection.statistics is not None
    assert found.inspection.statistics.documents == 2
    assert working.uploads.path(upload.id).read_bytes() == content
    assert working.uploads.list() == [replace(found, inspection=None)]


def test_what_cannot_be_read_is_refused_with_the_reason_and_kept(working: Store) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("../a.txt", "x")
    cases = {
        ("a.txt", b"gr\xfc\xdfe"): "a.txt is not UTF-8 text",
        ("a.zip", zipped.getvalue()): "a path that leads out of the archive",
        ("a.pdf", b"%PDF-1.7"): "is a PDF document",
    }
    for (label, content), reason in cases.items():
        found = working.looked_into(working.brought(label, content))
        assert found.state == "refused"
        assert found.problem is not None
        assert reason in found.problem
        assert found.remedy
        assert working.uploads.path(found.id).read_bytes() == content
        working.uploads.delete(found.id)


def test_a_file_that_changed_on_its_way_is_refused(working: Store) -> None:
    found = working.looked_into(working.brought("a.txt", b"text", sha256="0" * 64))
    assert found.state == "refused"
    assert found.problem is not None
    assert found.problem.endswith(f"and {'0' * 64} was announced.")


def test_an_empty_file_is_whole_at_once(working: Store) -> None:
    found = working.looked_into(working.brought("a.txt", b""))
    assert (found.state, found.problem) == ("refused", "a.txt holds no text.")


def test_quotas_count_what_was_announced(store: Store) -> None:
    begin = store.uploads.begin
    with pytest.raises(TooLarge, match="at most 1,000 bytes, and 1,001 were announced"):
        begin(store.ann, label="a", length=1001)
    first = begin(store.ann, label="a", length=1000)
    with pytest.raises(TooLarge, match="Your uploads have 1,000 bytes of 1,500; 501 more are too many"):
        begin(store.ann, label="a", length=501)
    begin(store.bob, label="b", length=900)
    with pytest.raises(TooLarge, match="The uploads of everybody together"):
        begin(store.bob, label="b", length=101)
    store.uploads.delete(first.id)
    for _ in range(3):
        begin(store.ann, label="a", length=1)
    with pytest.raises(TooLarge, match="You have 3 uploads"):
        begin(store.ann, label="a", length=1)
    assert len(store.uploads.received.ids()) == len(store.uploads.list()) == 4


def test_what_was_promised_to_others_counts_as_taken_on_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_000, 1_000))  # its own type
    upload = store.uploads.begin(store.ann, label="a", length=600)
    with pytest.raises(NoRoom, match="has no room for 500 more bytes"):
        store.uploads.begin(store.bob, label="b", length=500)
    with store.uploads.receive(upload.id, 0) as receiving:
        receiving.write(b"x" * 200)
        receiving.keep()
    store.uploads.begin(store.bob, label="b", length=500)


def test_a_disk_that_takes_no_more_is_told_and_what_was_kept_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = store.uploads.begin(store.ann, label="a.txt", length=10)
    with store.uploads.receive(upload.id, 0) as receiving:
        receiving.write(b"12345")
        receiving.keep()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NoRoom, match="refused the bytes: No space left"), store.uploads.receive(upload.id, 5) as on:
            on.write(b"6")
            on.keep()
        with pytest.raises(NoRoom):
            store.uploads.begin(store.ann, label="b", length=1)
    assert store.uploads.get(upload.id).offset == 5
    assert len(store.uploads.list()) == 1


def test_only_a_whole_upload_can_be_read_and_only_one_on_its_way_goes_on(store: Store) -> None:
    upload = store.uploads.begin(store.ann, label="a.txt", length=5)
    with pytest.raises(BadInput, match=r"Of the upload 'a\.txt' 0 bytes of 5 came"):
        store.uploads.path(upload.id)
    with store.uploads.receive(upload.id, 0) as receiving:
        receiving.write(b"12345")
        receiving.keep()
    with pytest.raises(Conflict, match="whole already"), store.uploads.receive(upload.id, 5):
        pass
    for missing in (store.uploads.get, store.uploads.path):
        with pytest.raises(NotFound):
            missing("f" * 32)


def test_one_that_is_deleted_meanwhile_is_told(store: Store) -> None:
    upload = store.uploads.begin(store.ann, label="a.txt", length=5)
    with pytest.raises(Conflict, match="deleted meanwhile"), store.uploads.receive(upload.id, 0) as receiving:
        receiving.write(b"1")
        store.uploads.delete(upload.id)
        receiving.keep()
    assert store.uploads.received.ids() == []


def test_what_nobody_goes_on_with_goes_and_what_is_whole_stays(store: Store) -> None:
    whole = store.brought("a.txt", b"text")
    left = store.uploads.begin(store.ann, label="b.txt", length=5)
    assert left.expires == pytest.approx(time.time() + LIMITS.abandoned_after, abs=60)
    store.uploads.received.create("f" * 32)
    store.uploads.sweep()
    assert len(store.uploads.received.ids()) == 3
    old = time.time() - LIMITS.abandoned_after - 60
    os.utime(store.uploads.received.folder / ("f" * 32), (old, old))
    store.uploads.sweep(time.time() + LIMITS.abandoned_after + 60)
    assert [upload.id for upload in store.uploads.list()] == store.uploads.received.ids() == [whole.id]


def test_a_server_that_was_killed_goes_on_where_it_was(
    store: Store, own_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the last byte; after the name; and while it was looked into."""
    with monkeypatch.context() as patch:
        patch.setattr(Uploads, "_complete", lambda self, upload: None)
        bytes_only = store.brought("a.txt", b"first")
        named_too = store.brought("b.txt", b"second")
    store.uploads.received.finish(named_too.id, "b.txt")
    checking = store.brought("c.txt", b"third")
    assert [store.uploads.get(one.id).state for one in (bytes_only, named_too, checking)] == [
        "receiving",
        "receiving",
        "checking",
    ]
    again = Uploads(own_workspace / "uploads", store.database, LIMITS)
    again.start()
    for upload, content in ((bytes_only, b"first"), (named_too, b"second"), (checking, b"third")):
        assert store.looked_into(upload).state == "ready"
        assert again.path(upload.id).read_bytes() == content
    again.stop()


def test_an_upload_may_lie_in_no_workspace_of_a_person_who_is_gone(store: Store) -> None:
    """A person's uploads go with them; their folders are swept."""
    store.brought("a.txt", b"text")
    with store.database.writing() as session:
        session.delete(session.get(UserRow, store.ann))
    assert store.uploads.list() == []


# The process that looks into a file


def test_a_reader_that_falls_takes_nobody_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    checker = Checker()
    started = Checker._started

    def falling(self: Checker) -> object:
        process = started(self)
        process.send_signal(signal.SIGSEGV)
        return process

    monkeypatch.setattr(Checker, "_started", falling)
    with pytest.raises(BadInput, match=r"a\.txt can't be read: its reader was ended by SIGSEGV"):
        checker.check(CheckRequest(path=path))


def test_a_reader_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    monkeypatch.setattr("glassbox.workshop.uploads.checking.PREVIEW_SECONDS", 0.01)
    with pytest.raises(BadInput, match=r"a\.txt takes more than 0\.01 seconds to read"):
        Checker().check(CheckRequest(path=path, whole=False))


def test_a_fault_of_ours_is_not_the_files(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(CheckFault):
        patch.setattr(sys, "executable", "/bin/false")
        Checker().check(CheckRequest(path=tmp_path / "a.txt"))

    def faulty(*_: object) -> None:
        raise CheckFault

    monkeypatch.setattr(Checker, "check", faulty)
    store.uploads.start()
    found = store.looked_into(store.brought("a.txt", b"text"))
    assert found.state == "refused"
    assert "a fault of its own" in (found.problem or "")


def test_nothing_is_looked_into_once_it_is_stopped(tmp_path: Path) -> None:
    checker = Checker()
    checker.stop()
    with pytest.raises(Stopped):
        checker.check(CheckRequest(path=tmp_path / "a.txt"))


def test_an_answer_is_an_inspection_or_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    assert answer(CheckRequest(path=path)).inspection is not None
    digest = hashlib.sha256(b"text").hexdigest()
    assert answer(CheckRequest(path=path, sha256=digest)).inspection is not None
    assert "was announced" in (answer(CheckRequest(path=path, sha256="0" * 64)).problem or "")

    def too_much(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(check_process, "inspect_file", too_much)
    assert answer(CheckRequest(path=path)).problem == "a.txt needs more than 4 GiB of memory to be read."


@pytest.mark.slow
def test_lines_and_columns_of_gigabytes_meet_the_limits_of_their_own_process(tmp_path: Path) -> None:
    checker = Checker()
    line = tmp_path / "line.txt"
    with line.open("wb") as file:
        for _ in range(300):
            file.write(b"x" * 2**20)
    with pytest.raises(BadInput, match=r"line\.txt has a line of more than 268,435,456 bytes"):
        checker.check(CheckRequest(path=line))
    line.unlink()
    column = tmp_path / "column.parquet"
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 2**20]))
    pq.write_table(pa.table({"text": values}), column, dictionary_pagesize_limit=2**22, compression="zstd")
    with pytest.raises(BadInput, match=r"column\.parquet unpacks to more than 200 times its size"):
        checker.check(CheckRequest(path=column))
    packed = tmp_path / "bomb.txt.gz"
    packed.write_bytes(gzip.compress(b"x" * 2**28))
    with pytest.raises(BadInput, match=r"bomb\.txt\.gz unpacks to more than 200 times its size"):
        checker.check(CheckRequest(path=packed))
