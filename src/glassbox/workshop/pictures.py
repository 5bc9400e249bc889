"""Pictures as answers: SVG or PNG, in colours for a dark or a light ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import Response

from glassbox.pictures import Figure, theme_named
from glassbox.pictures.saving import painted, sheet

ThemeName = Literal["dark", "light"]
Form = Literal["svg", "png"]

PICTURE_ANSWERS: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The picture.",
            "content": {"image/svg+xml": {"schema": {"type": "string"}}, "image/png": {}},
        }
    },
}
"""For the decorator of an endpoint that answers with a picture."""


def picture(figures: Sequence[Figure], title: str, theme: ThemeName, form: Form) -> Response:
    """All figures on one sheet. Raises BadInput for a PNG that is too large, or that this machine has no font for."""
    drawing = sheet(figures, theme_named(theme), title)
    if form == "png":
        return Response(painted(drawing), media_type="image/png")
    return Response(drawing.svg(title), media_type="image/svg+xml")
