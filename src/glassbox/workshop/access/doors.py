"""What is refused before anyone is asked who they are: a foreign Host, and what another site's page sends.

A page of another site can make a browser send requests here, with the session's cookie. A browser says where such a
request comes from: in `Origin`, always, with everything that could change something, and when a WebSocket is opened.
And a name of theirs may be made to lead to this machine (DNS rebinding): then `Host` says that name. A NUL character,
which databases and file systems each take in their own way, comes no further either.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from glassbox.workshop.problems import told

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN_PAGE = 4403  # how a WebSocket is refused


class Doors:
    """Lets through what is meant for this workshop, and comes from its own pages or from no page at all."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            status, detail = HTTPStatus.MISDIRECTED_REQUEST, "This workshop isn't known under that host name."
            remedy = "Open it at the address that it printed, or start it with --name and that name."
        elif (scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS) and _is_foreign(headers):
            status, detail = HTTPStatus.FORBIDDEN, "This was sent by a page of another site."
            remedy = "Do it in the workshop itself."
        elif "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            status, detail = HTTPStatus.BAD_REQUEST, "The address holds a NUL character, which no name has."
            remedy = "Leave it out."
        else:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()  # the request to connect
            await send({"type": "websocket.close", "code": _FOREIGN_PAGE, "reason": detail})
        else:
            await told(status, detail, remedy)(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        """A name that we answer to, or an address: nobody can make an address lead elsewhere."""
        name = _split(host)[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_foreign(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False  # no browser
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if default is None:
        return True  # "null", a file, an extension
    (name, port), (own_name, own_port) = _split(parts.netloc), _split(headers.get("host", ""))
    return (name, port or default) != (own_name, own_port or default)


def _split(host: str) -> tuple[str, int | None]:
    """A host in small letters without brackets, and its port."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", None
