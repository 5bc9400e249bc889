"""The API's documentation, from this machine alone: /openapi.json, and /docs to read and try it."""

from __future__ import annotations

import threading
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from glassbox.workshop.access.guards import SESSION_COOKIE, allows
from glassbox.workshop.access.headers import content_policy
from glassbox.workshop.problems import MEDIA_TYPE as PROBLEM_MEDIA_TYPE
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.routes.stage_operations import with_operations_of_stages

DESCRIPTION = """\
Everything that the workshop does can be done here: start stages, follow runs, look at artifacts, talk to models.

**Who asks.** A browser has a session cookie; a program sends `Authorization: Bearer KEY`. What isn't yours to see
answers 404.

**Errors** are `application/problem+json`: `detail` says what was expected and what came, `remedy` what to do next,
and `id` names the request in the workshop's log.

**Starting twice.** Send an `Idempotency-Key` with whatever starts something: a second request with the same key
answers with what the first one started.
"""

_WAYS_IN = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key; POST /api/keys makes one."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A browser that is logged in.",
    },
}

router = Router(include_in_schema=False)

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Glassbox API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = """const dark = matchMedia("(prefers-color-scheme: dark)");
const wear = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", wear);
wear();
SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, filter: true,
  displayRequestDuration: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""


def describe(app: FastAPI) -> None:
    """Let the description say what FastAPI can't: each stage, how one comes in, and the media type that problems have.

    It is made when somebody first asks, in most of a second: in a thread, so that the others are answered meanwhile.
    """
    plain, alone = app.openapi, threading.Lock()
    made: dict[str, Any] = {}

    def described() -> dict[str, Any]:
        with alone:  # whoever else asks meanwhile waits for the same one
            if not made:
                made.update(_completed(plain()))
        return made

    app.openapi = described


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    document = with_operations_of_stages(document)
    document["components"]["securitySchemes"] = _WAYS_IN
    document["security"] = [{name: []} for name in _WAYS_IN]
    for operations in document["paths"].values():
        for operation in operations.values():
            _name_media_type(operation["responses"])
    return document


def _name_media_type(responses: dict[str, Any]) -> None:
    for answer in responses.values():
        content = answer.get("content", {})
        for media_type, body in list(content.items()):
            if body.get("schema") == {"$ref": "#/components/schemas/ProblemDetails"}:
                del content[media_type]
                content[PROBLEM_MEDIA_TYPE] = body


@router.get("/openapi.json")
@allows("everyone")
def get_openapi(request: Request) -> JSONResponse:
    """The description that clients are generated from."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
@allows("everyone")
def read_documentation() -> HTMLResponse:
    """A page to read the API and try it."""
    policy = content_policy(style_src="'self' 'unsafe-inline'")  # Swagger UI sets styles on its elements
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": policy})


@router.get("/docs/{name}")
@allows("everyone")
def get_documentation_asset(name: str) -> Response:
    """What that page is made of."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _ASSETS:
        raise NotFound("file", name, "Open /docs.")
    content = files("fastapi_swagger").joinpath("resources", name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "max-age=86400"})
