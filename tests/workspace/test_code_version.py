"""Which code made a run."""

from __future__ import annotations

from pathlib import Path

import glassbox
from glassbox.workspace import Workspace
from glassbox.workspace.code_version import code_version, source_hash


def test_a_run_keeps_the_code_that_was_asked_for_it():
    run = Workspace().runs.create("collect", name="tales", settings={}, inputs={})
    assert run.record.code == code_version()
    assert code_version() == f"{glassbox.__version__}+{source_hash(Path(glassbox.__file__).parent)}"


def test_every_byte_and_every_name_of_a_module_counts_and_nothing_else(tmp_path: Path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text("1")
    first = source_hash(tmp_path)
    (tmp_path / "remark.txt").write_text("not code")
    assert source_hash(tmp_path) == first
    (tmp_path / "inner" / "a.py").write_text("2")
    second = source_hash(tmp_path)
    (tmp_path / "inner" / "a.py").rename(tmp_path / "inner" / "b.py")
    assert len({first, second, source_hash(tmp_path)}) == 3
