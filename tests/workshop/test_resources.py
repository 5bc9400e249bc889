"""Looking at the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glassbox.workshop.resources import Gpu, Resources, gpus_now

TOLD = "0, NVIDIA H100, 37, 1024, 81559, 41\\n1, Old card, [N/A], 10, 100, [Not Supported]\\n"


Says = Callable[[str], None]


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Lets a program of that name, first on the PATH, do what a shell script says."""
    program = tmp_path / "programs" / "nvidia-smi"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    def says(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return says


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_the_newest_look_is_there_soon_and_the_history_forgets_the_oldest(tmp_path: Path):
    resources = Resources(tmp_path, every=0.01, remembered=3)
    assert resources.newest(patience=0) is None
    resources.start()
    try:
        first = resources.newest()
        assert first is not None and first.memory_total > 0
        until(lambda: len(resources.history(60)) == 3 and first not in resources.history(60))
        times = [look.time for look in resources.history(60)]
        assert times == sorted(times)
    finally:
        resources.stop()
    assert resources.history(0) == []


def test_stopping_what_was_never_started_is_no_fault(tmp_path: Path):
    Resources(tmp_path).stop()


def test_a_disk_that_is_away_leaves_the_watch_alive(tmp_path: Path):
    folder = tmp_path / "away"
    resources = Resources(folder, every=0.01)
    resources.start()
    try:
        assert resources.newest() is None
        folder.mkdir()
        until(lambda: resources.history(60))
    finally:
        resources.stop()


def test_gpus_are_as_their_own_program_tells(nvidia_smi: Says, tmp_path: Path):
    nvidia_smi(f"printf '{TOLD}'")
    mib = 1024 * 1024
    assert gpus_now() == (
        Gpu(0, "NVIDIA H100", 0.37, 1024 * mib, 81559 * mib, 41.0),
        Gpu(1, "Old card", None, 10 * mib, 100 * mib, None),
    )
    resources = Resources(tmp_path)
    resources.start()
    try:
        look = resources.newest()
        assert look is not None and [gpu.index for gpu in look.gpus] == [0, 1]
    finally:
        resources.stop()


@pytest.mark.parametrize("script", ["exit 9", "echo nonsense", "echo a, b, c, d, e, f", "printf '\\377'"])
def test_a_program_that_fails_or_says_nonsense_tells_of_no_gpu(nvidia_smi: Says, script: str):
    nvidia_smi(script)
    assert gpus_now() == ()


def test_a_program_that_hangs_is_not_waited_for(nvidia_smi: Says, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glassbox.workshop.resources._GPU_PATIENCE", 0.2)
    nvidia_smi("exec sleep 60")
    assert gpus_now() == ()
