"""Coming in and going out: by the address that `glassbox workshop` prints, or with a name and a password."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from glassbox.workshop.access.guards import SESSION_COOKIE, CurrentActor, allows
from glassbox.workshop.access.noting import done_by
from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.accounts.passwords import LONGEST
from glassbox.workshop.accounts.sessions import LASTS
from glassbox.workshop.accounts.users import User
from glassbox.workshop.bodies import Body, Line
from glassbox.workshop.pages.rendering import render
from glassbox.workshop.problems import NotFound, NotLoggedIn
from glassbox.workshop.router import Router
from glassbox.workshop.routes.profile import Profile, profile
from glassbox.workshop.state import CurrentWorkshop, Workshop

router = Router(tags=["Coming in"])


class Credentials(Body):
    """A name and a password."""

    name: Annotated[Line, Field(min_length=1, max_length=80, examples=["ada"])]
    password: str = Field(min_length=1, max_length=LONGEST, examples=["four words nobody guesses"])


class SessionView(BaseModel):
    """A browser that is logged in."""

    id: str = Field(examples=["5f1c6a0be2d34a77"])
    created: float = Field(description="When it began: seconds since 1970.", examples=[1795284000.0])
    seen: float = Field(description="When it was last used, to the hour.", examples=[1795287600.0])
    agent: str = Field(description="How the browser calls itself.", examples=["Mozilla/5.0 (X11; Linux x86_64)"])
    current: bool = Field(description="Is it the one that asks?")


@router.get("/open", summary="Open the workshop with a one-time token", response_class=HTMLResponse)
@allows("everyone")
def open_with_token(
    token: Annotated[str, Query(max_length=100)], workshop: CurrentWorkshop, request: Request
) -> Response:
    """What `glassbox workshop` prints leads here: the token becomes a session, and can't be used again.

    The answer is a page that leads on: a redirect would come from wherever the address was clicked, and a browser
    gives such a request no cookie of ours.
    """
    if workshop.settings.people == "many":
        raise NotLoggedIn("This workshop is for many people: nobody comes in without a name.", "Log in.")
    user_id = workshop.sessions.redeem(token)
    user = None if user_id is None else workshop.users.get(user_id)
    if user is None:
        raise NotLoggedIn("This address was used already, or is too old.", "Get a new one: glassbox workshop-link.")
    answer = render("opened.html")
    begin_session(answer, workshop, user, request)
    return answer


@router.post("/api/login", summary="Log in")
@allows("everyone")
def log_in(credentials: Credentials, workshop: CurrentWorkshop, request: Request, response: Response) -> Profile:
    """A name and a password become a session. After many wrong ones the answer is 429, and says when to try again."""
    user = workshop.login.check(credentials.name, credentials.password, client_address(request))
    actor = begin_session(response, workshop, user, request)
    return profile(workshop, actor)


@router.delete("/api/session", summary="Log out", status_code=204)
@allows("member", by_session=True)
def log_out(workshop: CurrentWorkshop, actor: CurrentActor, response: Response) -> None:
    """Ends the session that this is sent with; its cookie opens nothing any more."""
    workshop.sessions.end(actor.id, actor.session or "")
    response.delete_cookie(SESSION_COOKIE)


@router.get("/api/sessions", summary="List your sessions")
@allows("member")
def list_sessions(workshop: CurrentWorkshop, actor: CurrentActor) -> list[SessionView]:
    """The browsers in which you are logged in; the one used last comes first."""
    return [
        SessionView(id=one.id, created=one.created, seen=one.seen, agent=one.agent, current=one.id == actor.session)
        for one in workshop.sessions.of(actor.id)
    ]


@router.delete("/api/sessions/{session_id}", summary="End one of your sessions", status_code=204)
@allows("member", by_session=True)
def end_session(
    session_id: Annotated[str, Path(max_length=100)], workshop: CurrentWorkshop, actor: CurrentActor
) -> None:
    """That browser is logged out with its next request."""
    if not workshop.sessions.end(actor.id, session_id):
        raise NotFound("session", session_id)


def client_address(request: Request) -> str:
    """Where a request comes from."""
    return "" if request.client is None else request.client.host


def begin_session(answer: Response, workshop: Workshop, user: User, request: Request) -> Actor:
    """Log a browser in, and note who came.

    The cookie: pages of other sites can't make a browser send it, scripts can't read it, and where it came by TLS it
    goes by nothing else.
    """
    secret = workshop.sessions.open(user.id, request.headers.get("user-agent", ""))
    actor = workshop.sessions.actor(secret)
    if actor is None:
        raise NotLoggedIn("This account is disabled.", "Ask an owner.")
    answer.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=int(LASTS),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    done_by(request, actor)
    return actor
