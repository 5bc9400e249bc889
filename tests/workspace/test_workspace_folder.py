"""What a person can point the workspace at, and what it says when that won't do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.workspace import Workspace
from glassbox.workspace.faults import disk_faults_as_bad_input, is_full_disk
from glassbox.workspace.workspace import default_folder


def test_the_environment_names_the_folder_else_it_is_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("GLASSBOX_WORKSPACE", str(tmp_path / "chosen"))
    assert Workspace().folder == tmp_path / "chosen"
    monkeypatch.delenv("GLASSBOX_WORKSPACE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".glassbox"


def test_without_a_home_the_person_is_asked_to_choose(monkeypatch):
    monkeypatch.delenv("GLASSBOX_WORKSPACE")

    def homeless():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(BadInput, match="no home folder"):
        default_folder()


def test_the_folder_is_made_with_its_parents(tmp_path):
    Workspace(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("inside", ["", "below"])
def test_a_file_where_the_folder_should_be_is_named(tmp_path, inside):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        Workspace(tmp_path / "file" / inside)


def test_a_file_where_the_artifacts_should_be_is_named(workspace, publish):
    (workspace.folder / "artifacts").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        publish("corpus", "plays")
    assert list((workspace.folder / "unfinished").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(workspace, publish, monkeypatch):
    """Root may write anywhere, so the refusal is the system's own error, raised by hand."""

    def refuse(self, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BadInput, match="cannot be written: Permission denied"):
        publish("corpus", "plays")
    with pytest.raises(BadInput, match="cannot be written"):
        workspace.runs.create("split", name="plays", settings={}, inputs={})
    with pytest.raises(BadInput, match="cannot be written"):
        Workspace(workspace.folder / "new")


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(OSError), disk_faults_as_bad_input(tmp_path):
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("database or disk is full"), True),
        (OSError(errno.EIO, "x"), False),
        (ValueError("full"), False),
    ],
)
def test_a_full_disk_is_recognised_in_whatever_words(error, full):
    assert is_full_disk(error) is full
