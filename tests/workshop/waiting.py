"""Waiting for what must come to pass, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 30.0  # seconds; the machine may be busy

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str) -> T:
    """The first true value of the condition; fails if there is none in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"it did not come to pass that {what}")
