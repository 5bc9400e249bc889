"""Deny by default: the app's one root dependency lets a request through only if its endpoint says whom it allows.

    @router.get("/runs")
    @allows("member")
    def list_runs(actor: CurrentActor, ...): ...

An endpoint without `@allows` answers nobody; a test walks all routes and compares them with the table in
docs/security.md.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, WebSocketException
from fastapi.requests import HTTPConnection
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool

from glassbox.workshop.accounts.actor import Actor, Role, Scope
from glassbox.workshop.accounts.users import LOCAL_USER
from glassbox.workshop.problems import Forbidden, NotLoggedIn, Problem
from glassbox.workshop.state import Workshop, workshop_of

SESSION_COOKIE = "glassbox_session"
NOT_LOGGED_IN, NOT_ALLOWED = 4401, 4403  # how a WebSocket is closed

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes that a request may send, where its endpoint doesn't say otherwise."""

_Endpoint = Callable[..., Any]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Access:
    """Whom an endpoint allows: everyone, or people of at least a role, with a session or a key of the scope."""

    role: Role | Literal["everyone"]
    scope: Scope
    by_session: bool
    is_noted: bool
    largest_body: int | None


def allows(
    role: Role | Literal["everyone"],
    *,
    scope: Scope = "workshop",
    by_session: bool = False,
    noted: bool = True,
    largest_body: int | None = LARGEST_BODY,
) -> Callable[[_Endpoint], _Endpoint]:
    """Say whom an endpoint allows.

    scope:        a key of scope `models` opens only endpoints that say `scope="models"`.
    by_session:   no key opens it. For what would let a key that leaked make more keys, or take an account over.
    noted:        False keeps it out of the audit log: what is sent in many small pieces, or changes nothing. Requests
                  that change something are noted otherwise, but for those of scope `models`, which usage counts.
    largest_body: bytes that a request may send; None where the endpoint takes them piece by piece and counts itself.
    """

    def mark(endpoint: _Endpoint) -> _Endpoint:
        answering = endpoint if inspect.iscoroutinefunction(endpoint) else _in_a_thread(endpoint)
        access = Access(role, scope, by_session, noted and scope != "models", largest_body)
        answering.__allows__ = access  # pyright: ignore[reportFunctionMemberAccess]  (read by `access_of`)
        return answering

    return mark


def _in_a_thread(endpoint: Callable[..., _Answer]) -> Callable[..., Awaitable[_Answer]]:
    """The same for an event loop. Left to FastAPI, the answer would go to another thread once more, to be checked."""

    @functools.wraps(endpoint)
    async def answering(*arguments: object, **named: object) -> _Answer:
        return await run_in_threadpool(endpoint, *arguments, **named)

    return answering


def access_of(endpoint: object) -> Access | None:
    """What `@allows` said about an endpoint."""
    return getattr(endpoint, "__allows__", None)


async def guard(connection: HTTPConnection) -> None:
    """The root dependency: finds out who asks, and lets only those through whom the endpoint allows."""
    try:
        await _admit(connection)
    except Problem as problem:
        if connection.scope["type"] == "websocket":
            code = NOT_LOGGED_IN if isinstance(problem, NotLoggedIn) else NOT_ALLOWED
            raise WebSocketException(code, problem.detail) from problem
        raise


async def is_still_admitted(connection: HTTPConnection) -> bool:
    """For connections that stay open: would it be let in now?"""
    try:
        await _admit(connection)
    except Problem:
        return False
    return True


async def _admit(connection: HTTPConnection) -> None:
    access = access_of(connection.scope.get("endpoint"))
    if access is None:
        raise Forbidden("Nobody may do this.", "See /docs for what there is.")
    actor = await run_in_threadpool(_actor, workshop_of(connection), connection)
    connection.state.actor = actor
    if access.role == "everyone":
        return
    if actor is None:
        raise NotLoggedIn()
    if actor.scope == "models" and access.scope != "models":
        raise Forbidden("This key opens only the served models.", "Use a key of the scope workshop.")
    if access.by_session and actor.session is None:
        raise Forbidden("This cannot be done with a key.", "Log in, and do it there.")
    if not actor.is_at_least(access.role):
        raise Forbidden(f"This is for the role {access.role}, and yours is {actor.role}.", "Ask an owner.")


def _actor(workshop: Workshop, connection: HTTPConnection) -> Actor | None:
    """Raises NotLoggedIn for a key that is wrong: whoever sends one means to be known."""
    scheme, key = get_authorization_scheme_param(connection.headers.get("authorization"))
    if scheme.lower() == "bearer" and key:
        actor = workshop.keys.actor(key)
        if actor is None or _is_shut(workshop, actor):
            raise NotLoggedIn("This API key is unknown, expired or withdrawn.", "Send another, or make a new one.")
        return actor
    if token := connection.cookies.get(SESSION_COOKIE):
        actor = workshop.sessions.actor(token)
        return None if actor is None or _is_shut(workshop, actor) else actor
    return None


def _is_shut(workshop: Workshop, actor: Actor) -> bool:
    """Where many people come in, the one without a password doesn't: they were whoever sat at the machine."""
    return workshop.settings.people == "many" and actor.id == LOCAL_USER


async def _current(connection: HTTPConnection) -> Actor:
    actor: Actor | None = connection.state.actor
    if actor is None:
        raise NotLoggedIn()
    return actor


async def _possible(connection: HTTPConnection) -> Actor | None:
    return connection.state.actor


CurrentActor = Annotated[Actor, Depends(_current)]
"""Who asks; for endpoints that don't allow everyone."""

PossibleActor = Annotated[Actor | None, Depends(_possible)]
"""Who asks, or None; for endpoints that allow everyone."""
