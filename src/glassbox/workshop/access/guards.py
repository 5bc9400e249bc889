"""Deny by default: the app's one root dependency lets a request through only if its endpoint says whom it allows.

    @router.get("/runs")
    @allows("member")
    def list_runs(actor: CurrentActor, ...): ...

An endpoint without `@allows` answers nobody; a test walks all routes and compares them with a table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from fastapi import Depends, WebSocketException
from fastapi.requests import HTTPConnection
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool

from glassbox.workshop.access.actor import Actor, Role, Scope
from glassbox.workshop.problems import Forbidden, NotLoggedIn, Problem
from glassbox.workshop.state import Workshop, workshop_of

SESSION_COOKIE = "glassbox_session"
NOT_LOGGED_IN, NOT_ALLOWED = 4401, 4403  # how a WebSocket is closed

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., object])


class Access:
    """Whom an endpoint allows: everyone, or people of at least a role, with a session or a key of the scope."""

    def __init__(self, role: Role | Literal["everyone"], scope: Scope) -> None:
        self.role: Role | Literal["everyone"] = role
        self.scope: Scope = scope


def allows(role: Role | Literal["everyone"], *, scope: Scope = "workshop") -> Callable[[_Endpoint], _Endpoint]:
    """Say whom an endpoint allows. A key of scope `models` opens only endpoints that say `scope="models"`."""

    def mark(endpoint: _Endpoint) -> _Endpoint:
        endpoint.__allows__ = Access(role, scope)  # pyright: ignore[reportFunctionMemberAccess]  (read by `access_of`)
        return endpoint

    return mark


def access_of(endpoint: object) -> Access | None:
    """What `@allows` said about an endpoint."""
    return getattr(endpoint, "__allows__", None)


async def guard(connection: HTTPConnection) -> None:
    """The root dependency: finds out who asks, and lets only those through whom the endpoint allows."""
    try:
        connection.state.actor = await _admitted(connection)
    except Problem as problem:
        if connection.scope["type"] == "websocket":
            code = NOT_LOGGED_IN if isinstance(problem, NotLoggedIn) else NOT_ALLOWED
            raise WebSocketException(code, problem.detail) from problem
        raise


async def _admitted(connection: HTTPConnection) -> Actor | None:
    access = access_of(connection.scope.get("endpoint"))
    if access is None:
        raise Forbidden("Nobody may do this.", "See /docs for what there is.")
    workshop = workshop_of(connection)
    actor = await run_in_threadpool(_actor, workshop, connection)
    role = access.role
    if role == "everyone":
        return actor
    if actor is None:
        raise NotLoggedIn()
    if actor.scope == "models" and access.scope != "models":
        raise Forbidden("This key opens only the served models.", "Use a key of the scope workshop.")
    if not actor.is_at_least(role):
        raise Forbidden(f"This is for the role {role}, and yours is {actor.role}.", "Ask an owner.")
    return actor


def _actor(workshop: Workshop, connection: HTTPConnection) -> Actor | None:
    """Raises NotLoggedIn for a key that is wrong: whoever sends one means to be known."""
    scheme, key = get_authorization_scheme_param(connection.headers.get("authorization"))
    if scheme.lower() == "bearer" and key:
        actor = workshop.keys.actor(key)
        if actor is None:
            raise NotLoggedIn("This API key is unknown, expired or withdrawn.", "Send another, or make a new one.")
        return actor
    if token := connection.cookies.get(SESSION_COOKIE):
        return workshop.sessions.actor(token)
    return None


def _current(connection: HTTPConnection) -> Actor:
    actor: Actor | None = connection.state.actor
    if actor is None:
        raise NotLoggedIn()
    return actor


def _possible(connection: HTTPConnection) -> Actor | None:
    return connection.state.actor


CurrentActor = Annotated[Actor, Depends(_current)]
"""Who asks; for endpoints that don't allow everyone."""

PossibleActor = Annotated[Actor | None, Depends(_possible)]
"""Who asks, or None; for endpoints that allow everyone."""
