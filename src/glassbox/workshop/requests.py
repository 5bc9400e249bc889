"""Each request gets an id, which its answer, its errors, its log lines and its entries in the audit log carry."""

from __future__ import annotations

import logging
import secrets
import time
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECRET = "secret"
"""What path parameters are called that hold one."""

_current: ContextVar[str] = ContextVar("request_id", default="")
_log = logging.getLogger("glassbox.workshop.requests")


def request_id() -> str:
    """The id of the request that is being answered; empty outside of one."""
    return _current.get()


class Requests:
    """Gives ids and logs what was asked, how it was answered, and how long that took."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        identity = secrets.token_hex(8)
        _current.set(identity)
        began = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if _log.isEnabledFor(logging.INFO):
                milliseconds = round((time.perf_counter() - began) * 1000, 1)
                fields = {"method": scope.get("method", "WS"), "path": _without_secret(scope), "status": status}
                _log.info("answered", extra={"fields": fields | {"milliseconds": milliseconds}})


def _without_secret(scope: Scope) -> str:
    """The path, but for what opens something to whoever reads the log."""
    path: str = scope["path"]
    parameters: dict[str, object] = scope.get("path_params") or {}
    secret = parameters.get(SECRET)
    return path.replace(secret, "…") if isinstance(secret, str) and secret else path
