"""Pages from templates. Jinja runs in its immutable sandbox, and everything that is put in is escaped."""

from __future__ import annotations

import functools
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.responses import HTMLResponse

import glassbox

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

FOLDER = Path(__file__).parent


def render(template: str, code: int = HTTPStatus.OK, /, **values: object) -> HTMLResponse:
    """A page, with `values` under their names. code: the HTTP status."""
    text = _environment().get_template(template).render(version=glassbox.__version__, **values)
    return HTMLResponse(text, status_code=code)


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
