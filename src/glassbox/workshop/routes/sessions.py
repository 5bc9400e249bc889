"""Coming in and going out: `/open?token=…`, the address that `glassbox workshop` prints, and the end of a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from glassbox.workshop.access.guards import SESSION_COOKIE, CurrentActor, allows
from glassbox.workshop.accounts.sessions import LASTS
from glassbox.workshop.problems import NotLoggedIn
from glassbox.workshop.state import CurrentWorkshop

router = APIRouter(tags=["Sessions"])


@router.get("/open", summary="Open the workshop with a one-time token", status_code=303, response_class=Response)
@allows("everyone")
def open_with_token(
    token: Annotated[str, Query(max_length=100)], workshop: CurrentWorkshop, request: Request
) -> Response:
    """What `glassbox workshop` prints leads here: the token becomes a session, and can't be used again."""
    user = workshop.sessions.redeem(token)
    if user is None:
        raise NotLoggedIn("This address was used already, or is too old.", "Get a new one: glassbox workshop-link.")
    answer = RedirectResponse("/", status_code=303)
    set_session_cookie(answer, workshop.sessions.open(user, request.headers.get("user-agent", "")), request)
    return answer


@router.delete("/api/session", summary="Log out", status_code=204)
@allows("member")
def end_session(workshop: CurrentWorkshop, actor: CurrentActor, response: Response) -> None:
    """Ends the session that this is sent with; its cookie opens nothing any more."""
    if actor.session is not None:
        workshop.sessions.end(actor.id, actor.session)
    response.delete_cookie(SESSION_COOKIE)


def set_session_cookie(answer: Response, secret: str, request: Request) -> None:
    """Pages of other sites can't send it, scripts can't read it, and once it came by TLS it goes by nothing else."""
    answer.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=int(LASTS),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
