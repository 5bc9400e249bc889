"""A process that serves a model, as the tests see it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai

PATIENCE = 60  # seconds for whatever should take far less


@dataclass
class Child:
    """A process that serves, and where."""

    process: subprocess.Popen[bytes]
    port: int
    key: str = "none"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> openai.OpenAI:
        settings: dict[str, Any] = {
            "base_url": f"{self.address}/v1",
            "api_key": self.key,
            "max_retries": 0,
            "timeout": PATIENCE,
        }
        return openai.OpenAI(**(settings | options))

    def asynchronous_client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.address}/v1", api_key=self.key, max_retries=0, timeout=PATIENCE)


def until(met: Callable[[], bool], what: str) -> None:
    """Wait for a condition, and fail if it isn't met in time."""
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)
