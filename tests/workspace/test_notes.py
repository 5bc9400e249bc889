"""Notes on artifacts, which change though the artifacts don't."""

from __future__ import annotations

import pytest

from glassbox.errors import BadInput
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.notes import LONGEST_NOTE, note_file, read_note, write_note


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


@pytest.fixture
def artifact(workspace: Workspace) -> Artifact:
    with workspace.artifacts.draft("corpus", "tales") as draft:
        (draft.folder / "a.txt").write_text("once")
    return draft.artifact


def test_a_note_is_empty_until_somebody_writes_one(artifact: Artifact):
    assert read_note(artifact.folder) == ""
    write_note(artifact.folder, "Für *später* 🦊")
    assert read_note(artifact.folder) == "Für *später* 🦊"


def test_a_note_changes_nothing_about_the_artifact(workspace: Workspace, artifact: Artifact):
    write_note(artifact.folder, "good")
    assert artifact.problems() == []
    assert [entry.reference for entry in workspace.artifacts.list()] == ["tales:1"]
    with workspace.artifacts.draft("corpus", "tales") as draft:
        (draft.folder / "a.txt").write_text("twice")
    assert draft.artifact.reference == "tales:2"


def test_a_blank_note_is_none(artifact: Artifact):
    write_note(artifact.folder, "something")
    write_note(artifact.folder, " \n")
    assert not note_file(artifact.folder).exists()


def test_a_note_goes_with_its_artifact(workspace: Workspace, artifact: Artifact):
    write_note(artifact.folder, "something")
    workspace.delete_artifact("corpus", "tales:1")
    assert not note_file(artifact.folder).exists()


def test_a_note_too_long_or_broken_is_told(artifact: Artifact):
    with pytest.raises(BadInput, match="20,001"):
        write_note(artifact.folder, "x" * (LONGEST_NOTE + 1))
    note_file(artifact.folder).write_bytes(b"\xff")
    with pytest.raises(BadInput, match="isn't UTF-8"):
        read_note(artifact.folder)
