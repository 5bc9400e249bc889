"""Who may speak to the server, before anything else is looked at: key, Host and Origin, and the size of a body.

Without a key only this machine may ask, and then a web page that somebody has open must not: it is told by its Origin,
and by a Host that isn't this machine's when its name was rebound to this address (DNS rebinding). Nothing here allows
another origin (CORS).
"""

from __future__ import annotations

import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glassbox.serving.protocol.errors import ApiError
from glassbox.serving.replies import json_response

LARGEST_BODY = 4 << 20  # bytes


class Guard:
    """An ASGI application in front of another.

    key: what requests must bear; None: none. local: is the server bound to this machine alone?
    """

    def __init__(self, app: ASGIApp, *, key: str | None, local: bool) -> None:
        self._app = app
        self._key = None if key is None else key.encode()
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket, of which there are none here: closed before it opens
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            self._check(Headers(scope=scope))
        except ApiError as error:
            await json_response(error.body, error.status, error.headers)(scope, receive, send)
            return
        await self._app(scope, _bounded(receive), send)

    def _check(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._local and not _is_this_machine(host):
            raise ApiError(
                403, "This server answers to localhost only, and the request's Host is another.", code="foreign_host"
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            raise ApiError(403, "Web pages of other origins can't use this server.", code="foreign_origin")
        if self._key is None:
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self._key):
            raise ApiError(
                401, "The API key is missing or wrong. Send it as Authorization: Bearer KEY.", code="invalid_api_key"
            )


def is_loopback(host: str) -> bool:
    """Does this address or name reach this machine only?"""
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_this_machine(header: str) -> bool:
    """Is a Host header (`localhost:8000`, `[::1]`) that of this machine?"""
    if header.startswith("["):
        name, bracket, port = header[1:].partition("]")
        port = port.removeprefix(":")
        return bool(bracket) and is_loopback(name) and (not port or port.isdecimal())
    name, _, port = header.partition(":")
    return is_loopback(name) and (not port or port.isdecimal())


def _bounded(receive: Receive) -> Receive:
    """Raises ApiError, 413, from the piece of a body on that makes it too large."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            raise ApiError(
                413, f"The body has more than {LARGEST_BODY:,} bytes. Send less at once.", code="request_too_large"
            )
        return message

    return bounded
