"""How much a request may send: what its endpoint says (`@allows(..., largest_body=...)`), counted as it comes."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glassbox.workshop.access.guards import LARGEST_BODY, access_of


class Sizes:
    """Stops reading where more comes than the endpoint takes, and before anything is read if more is announced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        taken = 0

        async def counting() -> Message:
            nonlocal taken
            access = access_of(scope.get("endpoint"))
            limit = LARGEST_BODY if access is None else access.largest_body
            if limit is not None and announced.isdecimal() and int(announced[:20]) > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            message = await receive()
            taken += len(message.get("body", b""))
            if limit is not None and taken > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, counting, send)
