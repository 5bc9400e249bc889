"""The pages that a person meets first: where to go, and the guide."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

import glassbox
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.headers import content_policy
from glassbox.workshop.problems import NotFound

router = APIRouter(include_in_schema=False)

_SCRIPT = re.compile(rb"<script\b(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)


@router.get("/guide")
@allows("everyone")
def read_guide() -> HTMLResponse:
    """The microgpt guide."""
    page, policy = _guide()
    return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})


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
