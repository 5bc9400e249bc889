"""How answers go out: as long as somebody listens, as one JSON object or as server-sent events."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable

import pydantic_core
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from glassbox.serving.protocol.errors import ApiError

DONE = b"data: [DONE]\n\n"


def json_response(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body as one JSON object, NaN and infinities as null."""
    return Response(body.model_dump_json(), status, headers, "application/json")


def event(body: BaseModel) -> bytes:
    """One server-sent event; fields that were never set are left out."""
    return b"data: " + body.model_dump_json(exclude_unset=True).encode() + b"\n\n"


class TextEvent:
    """An event that is sent again and again with another text; what stays the same is put into JSON only once.

    of: its body with a text, which stands in it once.
    """

    def __init__(self, of: Callable[[str], BaseModel]) -> None:
        place = secrets.token_hex(16)
        self._before, self._behind = event(of(place)).split(pydantic_core.to_json(place))

    def __call__(self, text: str) -> bytes:
        return self._before + pydantic_core.to_json(text) + self._behind


class WhileListened(Response):
    """A reply that is worked on while its client is there: when it goes, the work is cancelled.

    work: makes the response. Raises whatever it raises.
    """

    def __init__(self, work: Callable[[], Awaitable[Response]]) -> None:
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def reply() -> None:
            response = await self._work()
            await response(scope, receive, send)

        replying = asyncio.ensure_future(reply())
        leaving = asyncio.ensure_future(_departure(receive))
        try:
            await asyncio.wait((replying, leaving), return_when=asyncio.FIRST_COMPLETED)
            if replying.done():
                replying.result()
        finally:
            for task in (replying, leaving):
                task.cancel()
            await asyncio.gather(replying, leaving, return_exceptions=True)


class EventStream(Response):
    """Server-sent events. The head is sent with the first of them, so that what fails before has a status of its own;
    what fails later is an event."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-cache"
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            some = await anext(self._events, b"")
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while some:
                await send({"type": "http.response.body", "body": some, "more_body": True})
                some = await self._next()
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._events.aclose()

    async def _next(self) -> bytes:
        try:
            return await anext(self._events, b"")
        except ApiError as error:
            return event(error.body)


async def _departure(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
