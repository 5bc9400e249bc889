"""A file is replaced whole or not at all; a folder gets a name once."""

from __future__ import annotations

import os

import pytest

from glassbox.workspace import atomic


def test_a_file_is_replaced_and_nothing_lies_beside_it(tmp_path):
    path = tmp_path / "file"
    atomic.write_file(path, b"one")
    atomic.write_file(path, b"two" * 1000)
    assert path.read_bytes() == b"two" * 1000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, failing):
    path = tmp_path / "file"
    atomic.write_file(path, b"one")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_file(path, b"two")
    monkeypatch.undo()
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_in_small_pieces_is_whole(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
    atomic.write_file(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_folder_does_not_take_a_name_that_is_taken(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("old")
    with pytest.raises(FileExistsError):
        atomic.rename_folder(tmp_path / "new", tmp_path / "taken")
    assert (tmp_path / "taken" / "file").read_text() == "old"
    with pytest.raises(FileNotFoundError):
        atomic.rename_folder(tmp_path / "missing", tmp_path / "name")
