"""Models to look into: drawn ones of every kind, and one that has learned to copy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Models of every kind are drawn as the engine's own tests draw them.
sys.path.append(str(Path(__file__).parents[1] / "engines" / "tensors"))


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread, and on a busy machine wait for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
