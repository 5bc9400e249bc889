"""Fixtures that every test may use."""

from __future__ import annotations

import os

# One thread a process: the tests run side by side, and threads that wait for one another on busy cores stand still.
# Set before NumPy or PyTorch is imported, and inherited by the processes that tests start.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# What the tests read must not depend on the terminal that they are started from.
for variable in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "GLASSBOX_TRACEBACK"):
    os.environ.pop(variable, None)

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("glassbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("glassbox")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real inputs; tests that need it skip where there is none."""
    folder = os.environ.get("GLASSBOX_TEST_DATA")
    if not folder:
        pytest.skip("GLASSBOX_TEST_DATA names no folder of real inputs")
    return Path(folder)


@pytest.fixture(autouse=True)
def own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test may touch the workspace of the person who runs it."""
    folder = tmp_path / "workspace"
    monkeypatch.setenv("GLASSBOX_WORKSPACE", str(folder))
    yield folder
