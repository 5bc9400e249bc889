"""Served models without processes: whatever is asked of them is answered alike, and nothing is started."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

import httpx

from glassbox.workshop.gateway.gateway import Gateway
from glassbox.workshop.gateway.keeper import Condition

ANSWER = {
    "id": "1", "object": "list", "data": [], "choices": [],
    "tokens": [], "views": [], "values": [], "patterns": {}, "most_numbers": 1,
}  # fmt: skip


class _Child:
    port, key = 1, "none"

    @contextlib.contextmanager
    def answering(self) -> Generator[None]:
        yield


class _Keeper:
    """In the place of `Keeper`."""

    target = "something"

    def want(self, target: Any, *, start: bool = True) -> None: ...

    def child(self) -> _Child:
        return _Child()

    def ready(self) -> Future[_Child]:
        future: Future[_Child] = Future()
        future.set_result(_Child())
        return future

    def look_now(self) -> None: ...

    def begin_to_close(self) -> None: ...

    def close(self) -> None: ...

    def condition(self) -> Condition:
        return Condition("ready", time.time(), None, 1, None, 1, 0, None, ["loaded"])


def serve_without_processes(gateway: Gateway) -> None:
    """From now on its deployments answer by themselves."""
    keeper: Any = _Keeper()
    gateway._keeper = lambda deployment: keeper  # its processes are what is replaced
    gateway._client = httpx.AsyncClient(  # its processes are what is replaced
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER))
    )
