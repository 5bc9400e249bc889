"""Every request that changes something leaves an entry in the audit log, without its endpoint doing anything for it.

The entry is written before the answer begins: whoever was told that something was done can find it there. What a known
person tried is noted however it ended; what nobody known tried, only if it was done (so that no stranger can fill the
disk; wrong passwords are counted elsewhere).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glassbox.workshop.access.doors import SAFE_METHODS
from glassbox.workshop.access.guards import access_of
from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.requests import SECRET, request_id
from glassbox.workshop.state import Workshop

_SUBJECT = "audit_subject"
_log = logging.getLogger("glassbox.workshop.audit")


def noted_as(request: Request, subject: str) -> None:
    """Say what was changed, where neither the address nor the answer's Location does."""
    setattr(request.state, _SUBJECT, subject)


def done_by(request: Request, actor: Actor) -> None:
    """Say who it was, where that is known only now: at a login."""
    request.state.actor = actor


class Noting:
    """Writes the entries."""

    def __init__(self, app: ASGIApp, workshop: Workshop) -> None:
        self._app = app
        self._workshop = workshop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                await run_in_threadpool(self._note, scope, message["status"], Headers(raw=message["headers"]))
            await send(message)

        await self._app(scope, receive, noting)

    def _note(self, scope: Scope, status: int, headers: Headers) -> None:
        endpoint = scope.get("endpoint")
        access = access_of(endpoint)
        state: dict[str, object] = scope.get("state") or {}
        actor = state.get("actor")
        actor = actor if isinstance(actor, Actor) else None
        if access is None or not access.is_noted or (actor is None and status >= HTTPStatus.BAD_REQUEST):
            return
        action = getattr(endpoint, "__name__", "")
        subject = state.get(_SUBJECT) or _subject(scope.get("path_params") or {}, headers)
        address = (scope.get("client") or ("",))[0]
        try:
            self._workshop.audit.note(actor, action, str(subject), status, address, request_id())
        except Exception:
            name = "" if actor is None else actor.name
            fields = {"actor": name, "action": action, "subject": str(subject), "status": status, "address": address}
            _log.exception("could not be written to the audit log", extra={"fields": fields})


def _subject(parameters: Mapping[str, object], headers: Headers) -> str:
    """The path's parameters, or where the answer says that the new thing is."""
    named = [str(value) for name, value in parameters.items() if name != SECRET]
    return "/".join(named) or headers.get("location", "").partition("?")[0]
