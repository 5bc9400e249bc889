"""The checkpoints of a run as they lie on the disk: `checkpoints/step-00000400/`, each a folder of files.

What is in them is the affair of whoever trains (`training/checkpoints.py`); here they are listed and weighed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class SavedStep:
    """The checkpoint of one step, and the bytes that it takes."""

    step: int
    bytes: int


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, or would lie."""
    return checkpoints / f"step-{step:08d}"


def saved_steps(checkpoints: Path) -> list[int]:
    """The steps that a checkpoint exists for, oldest first, damaged ones included."""
    if not checkpoints.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in checkpoints.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in matches if match)


def weighed_steps(checkpoints: Path) -> list[SavedStep]:
    """The same with their sizes."""
    return [SavedStep(step, bytes_below(step_folder(checkpoints, step))) for step in saved_steps(checkpoints)]


def bytes_below(folder: Path) -> int:
    """Of all files in it; one that vanishes meanwhile counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
