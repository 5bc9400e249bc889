"""What is written where a person points is there whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.hub.new_place import new_file, new_folder

PLACES = {"folder": new_folder, "file": new_file}


def fill(path: Path, kind: str, text: str = "whole") -> None:
    (path / "a" if kind == "folder" else path).write_text(text)


def content(path: Path, kind: str) -> str:
    return (path / "a" if kind == "folder" else path).read_text()


@pytest.mark.parametrize("kind", PLACES)
def test_it_is_there_when_the_block_is_left_and_not_before(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with PLACES[kind](target) as path:
        fill(path, kind)
        assert not target.exists()
    assert content(target, kind) == "whole"
    assert [each.name for each in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("kind", PLACES)
def test_an_error_leaves_nothing(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), PLACES[kind](tmp_path / "target") as path:
        fill(path, kind)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", PLACES)
def test_of_two_at_once_the_second_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is there already"), PLACES[kind](tmp_path / "target") as late:
        fill(late, kind, "late")
        with PLACES[kind](tmp_path / "target") as path:
            fill(path, kind)
    assert content(tmp_path / "target", kind) == "whole"
    assert [each.name for each in tmp_path.iterdir()] == ["target"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with new_folder(tmp_path / "target") as path:
        fill(path, "folder")
    assert content(tmp_path / "target", "folder") == "whole"


@pytest.mark.parametrize("kind", PLACES)
def test_what_is_there_stays(kind: str, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("three years of work")
    with pytest.raises(BadInput, match="is there already"), PLACES[kind](tmp_path / "target"):
        raise AssertionError
    with (
        pytest.raises(BadInput, match="can't be written"),
        PLACES[kind](tmp_path / "target" / "below"),
    ):
        raise AssertionError


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("kind", PLACES)
def test_a_process_killed_while_it_writes_leaves_no_target(kind: str, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from glassbox.hub import new_place\n"
        f"with new_place.new_{kind}(Path(sys.argv[1])) as path:\n"
        f"    (path / 'a' if {kind == 'folder'} else path).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "target")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "target").exists()
    with PLACES[kind](tmp_path / "target") as path:
        fill(path, kind)
    assert content(tmp_path / "target", kind) == "whole"


def test_a_disk_without_hard_links_takes_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with new_file(tmp_path / "target") as path:
        fill(path, "file")
    assert content(tmp_path / "target", "file") == "whole"
    with pytest.raises(BadInput, match="is there already"), new_file(tmp_path / "other") as path:
        fill(path, "file")
        (tmp_path / "other").write_text("early")
    assert content(tmp_path / "other", "file") == "early"
