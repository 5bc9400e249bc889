"""The checkpoints of a run as they lie on the disk."""

from __future__ import annotations

from pathlib import Path

from glassbox.workspace.saved_steps import SavedStep, bytes_below, saved_steps, step_folder, weighed_steps


def test_checkpoints_are_listed_by_step_with_what_they_take(tmp_path: Path) -> None:
    for step, size in ((1200, 30), (400, 10)):
        folder = step_folder(tmp_path, step)
        (folder / "deeper").mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(size))
        (folder / "deeper" / "more").write_bytes(bytes(size))
    assert saved_steps(tmp_path) == [400, 1200]
    assert weighed_steps(tmp_path) == [SavedStep(400, 20), SavedStep(1200, 60)]
    assert bytes_below(tmp_path) == 80


def test_what_is_no_checkpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / ".step-00000400.part").mkdir()
    (tmp_path / "step-4").mkdir()
    (tmp_path / "step-00000500").write_text("a file")
    assert saved_steps(tmp_path) == []
    assert saved_steps(tmp_path / "nowhere") == []
    assert bytes_below(tmp_path / "nowhere") == 0
