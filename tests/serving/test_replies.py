"""Replies: as long as somebody listens, and an error in the middle of a stream is said in the stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from own_loop import run_async
from starlette.responses import Response

from glassbox.serving.protocol.errors import ApiError
from glassbox.serving.replies import DONE, EventStream, WhileListened

SCOPE: Any = {"type": "http", "method": "POST", "path": "/", "headers": []}


async def nothing() -> Any:
    """A client that stays."""
    await asyncio.Event().wait()


async def sent_by(response: Response, receive: Any = nothing) -> list[Any]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await response(SCOPE, receive, send)
    return messages


async def failing(parts: int) -> AsyncGenerator[bytes]:
    for _ in range(parts):
        yield b"data: 1\n\n"
    raise ApiError(500, "The model failed.", type="server_error", code="generation_failed")


def test_a_failure_in_the_middle_is_an_event_and_no_end_is_pretended():
    start, first, error, end = run_async(sent_by(EventStream(failing(1))))
    assert start["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in start["headers"]
    assert first["body"] == b"data: 1\n\n"
    told = json.loads(error["body"].removeprefix(b"data: "))
    assert told["error"] == {"message": "The model failed.", "type": "server_error", "code": "generation_failed",
                             "param": None}  # fmt: skip
    assert end == {"type": "http.response.body", "body": b""}
    assert DONE not in first["body"] + error["body"]


def test_a_failure_before_the_first_part_has_a_status_of_its_own():
    with pytest.raises(ApiError):
        run_async(sent_by(EventStream(failing(0))))


def test_work_ends_when_nobody_listens_any_more():
    ended: list[str] = []

    async def work() -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")
        raise AssertionError("it waits for ever")

    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def leaving() -> Any:
        return next(messages)

    assert run_async(sent_by(WhileListened(work), leaving)) == []
    assert ended == ["work"]


def test_work_that_fails_is_heard_of():
    async def work() -> Response:
        raise ApiError(400, "no")

    with pytest.raises(ApiError, match="no"):
        run_async(sent_by(WhileListened(work)))
