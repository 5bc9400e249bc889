"""What goes wrong, told as problem+json (RFC 9457): what was expected, what came, what to do, and an id to ask about.

A person's mistake is a `BadInput` or one of the classes here. Anything else is a fault of ours: it is logged with its
traceback under the id, and the person is told the id alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glassbox.errors import BadInput
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.pages.rendering import render
from glassbox.workshop.requests import request_id

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("glassbox.workshop")


class Problem(Exception):  # noqa: N818  (it is what is told, not a fault)
    """A refusal with a status of its own."""

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def __init__(self, detail: str, remedy: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{detail} {remedy}")
        self.detail = detail
        self.remedy = remedy
        self.headers = dict(headers or {})


class NotLoggedIn(Problem):
    """Nobody knows who asks."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str = "This needs an account.", remedy: str = "Log in, or send an API key.") -> None:
        super().__init__(detail, remedy, {"WWW-Authenticate": "Bearer"})


class Forbidden(Problem):
    """Known, but not allowed; only for what may be known to exist."""

    status = HTTPStatus.FORBIDDEN


class NotFound(Problem):
    """It isn't there, or isn't theirs: the answer is the same."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, what: str, name: str, remedy: str = "See what there is in the list.") -> None:
        super().__init__(f"There is no {what} called {name[:100]!r}.", remedy)


class Conflict(Problem):
    """It cannot be done in the state that the thing is in."""

    status = HTTPStatus.CONFLICT


class TooLarge(Problem):
    """More than is taken at once."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class TooMany(Problem):
    """Too often, or over a quota."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, remedy: str, *, seconds: float) -> None:
        super().__init__(detail, remedy, {"Retry-After": str(max(1, round(seconds)))})


class Unavailable(Problem):
    """Not at the moment; asking again later is right."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, detail: str, remedy: str, *, seconds: float = 2) -> None:
        super().__init__(detail, remedy, {"Retry-After": str(max(1, round(seconds)))})


class ProblemDetails(BaseModel):
    """The body of every answer that isn't what was asked for."""

    type: str = Field(description="Always about:blank: the status says which kind of problem it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was expected, and what came.")
    remedy: str = Field(description="What to do next.")
    id: str = Field(description="Names this request in the workshop's log.")
    fields: dict[str, str] | None = Field(None, description="What is wrong with which field of the request.")


def told(
    status: int,
    detail: str,
    remedy: str,
    headers: Mapping[str, str] | None = None,
    fields: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as an answer."""
    details = ProblemDetails(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        remedy=remedy,
        id=request_id(),
        fields=fields,
    )
    body = details.model_dump(exclude_none=True)
    return JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _tell(
    request: Request,
    status: int,
    detail: str,
    remedy: str,
    headers: Mapping[str, str] | None = None,
    fields: dict[str, str] | None = None,
) -> Response:
    """A problem as an answer: to a browser that was to show a page, as one."""
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return told(status, detail, remedy, headers, fields)
    if status == HTTPStatus.UNAUTHORIZED and request.url.path != "/open":
        page = render("come-in.html", status, many=request.app.state.workshop.settings.people == "many")
        page.headers.update(headers or {})
        return page
    title = HTTPStatus(status).phrase
    page = render("problem.html", status, status=status, title=title, detail=detail, remedy=remedy, id=request_id())
    page.headers.update(headers or {})
    return page


def tell_problems(app: FastAPI) -> None:
    """Let every error of the app be told so."""
    app.add_exception_handler(Problem, _tell_problem)
    app.add_exception_handler(BadInput, _tell_bad_input)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(DatabaseAway, _tell_away)
    app.add_exception_handler(Exception, _tell_fault)


class Faults:
    """Tells faults of ours. It stands inside of what gives every answer its headers, so that these have them too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = scope["type"] != "http"

        async def watching(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watching)
        except Exception as error:
            if has_begun:  # the answer cannot be taken back: the connection breaks off, and the server logs why
                raise
            await _tell_fault(Request(scope), error)(scope, receive, send)


def _tell_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _tell(request, error.status, error.detail, error.remedy, error.headers)


def _tell_bad_input(request: Request, error: Exception) -> Response:
    """Where the workspace lies is nobody's business over HTTP."""
    assert isinstance(error, BadInput)
    folder = str(request.app.state.workshop.workspace.folder)
    problem, remedy = (sentence.replace(folder, "the workspace") for sentence in (error.problem, error.remedy))
    return _tell(request, HTTPStatus.UNPROCESSABLE_ENTITY, problem, remedy)


def _tell_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        return _tell(
            request, HTTPStatus.UNPROCESSABLE_ENTITY, "The request isn't JSON that can be read.", "Send valid JSON."
        )
    fields = {".".join(str(part) for part in one["loc"][1:]) or "body": str(one["msg"]) for one in errors[:20]}
    place, message = next(iter(fields.items()))
    where = "The request" if place == "body" else f"{place[:100]} of the request"
    return _tell(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"{where} cannot be used: {message[:300]}.",
        "Correct it and send it again; /docs shows what is expected.",
        fields={name[:100]: message[:300] for name, message in fields.items()},
    )


def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _tell(request, HTTPStatus.NOT_FOUND, "There is nothing at this address.", "See /docs for what there is.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        remedy = "See /docs for what can be done here."
        return _tell(request, error.status_code, "This address doesn't take that method.", remedy, error.headers)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # what FastAPI raises if it cannot even try
        return _tell(request, error.status_code, "The request's body cannot be read.", "Send valid JSON.")
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _tell(request, error.status_code, "The request is larger than what is taken here.", "Send less at once.")
    return _tell(request, error.status_code, str(error.detail), "Correct the request; see /docs.", error.headers)


def _tell_away(request: Request, error: Exception) -> Response:
    _log.error("the database is away: %s", error)
    return _tell(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The workshop's database doesn't answer at the moment; nothing was changed.",
        "Try again in a few seconds.",
        {"Retry-After": "2"},
    )


def _tell_fault(request: Request, error: Exception) -> Response:
    """A fault of ours: the traceback goes to the log, never to the person."""
    _log.error("fault: %s", type(error).__name__, exc_info=error)
    return _tell(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong inside the workshop.",
        f"Try again; if it happens again, report it with the id {request_id()}, which the workshop's log explains.",
    )
