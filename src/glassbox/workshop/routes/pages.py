"""The pages that a person meets first: where to go, how to come in, and the guide."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import HTMLResponse

import glassbox
from glassbox.workshop.access.guards import PossibleActor, allows
from glassbox.workshop.access.headers import content_policy
from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.accounts.passwords import SHORTEST
from glassbox.workshop.pages.rendering import FOLDER, render
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.routes.people import invited
from glassbox.workshop.routes.profile import profile
from glassbox.workshop.state import CurrentWorkshop, Workshop
from glassbox.workshop.visible import Visible
from glassbox.workspace.run_index import RunEntry

router = Router(include_in_schema=False)

_SCRIPT = re.compile(rb"<script\b(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)
_NEWEST = 12  # runs on the first page
_MARKS = {"running": "●", "paused": "◑", "queued": "○", "finished": "✓", "failed": "×", "interrupted": "!"}
_STATIC = {
    "pages.css": "text/css",
    "send-form.js": "text/javascript",
    "log-out.js": "text/javascript",
    "glassbox.svg": "image/svg+xml",
}


@router.get("/")
@allows("everyone")
def read_first_page(workshop: CurrentWorkshop, actor: PossibleActor) -> HTMLResponse:
    """Where to go from here; for whoever isn't known yet, how to come in."""
    many = workshop.settings.people == "many"
    return render("come-in.html", many=many) if actor is None else _home(workshop, actor, many=many)


@router.get("/invitation")
@allows("everyone")
def read_invitation(token: Annotated[str, Query(max_length=100)], workshop: CurrentWorkshop) -> HTMLResponse:
    """Where an invited person chooses a password."""
    return render("invitation.html", name=invited(workshop, token).name, token=token, shortest=SHORTEST)


@router.get("/static/{name}")
@allows("everyone")
def get_static_file(name: str) -> Response:
    """What these pages are made of."""
    if name not in _STATIC:
        raise NotFound("file", name, "Open /.")
    content = (FOLDER / "static" / name).read_bytes()
    return Response(content, media_type=_STATIC[name], headers={"Cache-Control": "no-cache"})


@router.get("/guide")
@allows("everyone")
def read_guide() -> HTMLResponse:
    """The microgpt guide."""
    page, policy = _guide()
    return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})


def _home(workshop: Workshop, actor: Actor, *, many: bool) -> HTMLResponse:
    entries = Visible(workshop.workspace, workshop.database, actor).runs()
    return render(
        "home.html",
        person=profile(workshop, actor),
        runs=[_row(entry) for entry in entries[:_NEWEST]],
        more=max(0, len(entries) - _NEWEST),
        many=many,
    )


def _row(entry: RunEntry) -> dict[str, str]:
    state = "damaged" if entry.state is None else entry.state
    return {
        "id": entry.id,
        "stage": entry.stage,
        "name": entry.name,
        "state": state,
        "mark": _MARKS.get(state, "–"),
        "created": entry.created.isoformat(timespec="seconds"),
        "ago": ago((datetime.now(UTC) - entry.created).total_seconds()),
    }


def ago(seconds: float) -> str:
    """`3 minutes ago`."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


@functools.cache
def _guide() -> tuple[bytes, str]:
    """The page, and a content policy that runs its own scripts only: those with the hashes that they have."""
    package = Path(glassbox.__file__).parent
    places = (package / "guide" / "microgpt.html", package.parents[1] / "guide" / "microgpt.html")
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise NotFound("guide", "microgpt.html", "Install Glassbox again; the guide belongs to it.")
    page = place.read_bytes()
    digests = [hashlib.sha256(script["text"]).digest() for script in _SCRIPT.finditer(page)]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    policy = content_policy(
        script_src=f"{hashes} blob:", worker_src="blob:", style_src="'unsafe-inline'", img_src="'self' data: blob:"
    )
    return page, policy
