"""Lists in pages: newest first, and a cursor that says where the next page begins.

A cursor names the last thing that was given, not a number of things: what is added or deleted meanwhile neither repeats
nor hides anything.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar, cast

from fastapi import Query

from glassbox.errors import BadInput

_Thing = TypeVar("_Thing")
Key = tuple[float, str]
"""When it was made, and a text that tells it from others of the same moment."""

Limit = Annotated[int, Query(ge=1, le=500, description="At most so many.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before; none for the first page.")]


def page(
    things: Iterable[_Thing], key: Callable[[_Thing], Key], cursor: str | None, limit: int
) -> tuple[list[_Thing], str | None]:
    """The things after the cursor, newest first, and the cursor of the next page, None at the end.

    Raises BadInput for a cursor that isn't ours.
    """
    ordered = sorted(things, key=key, reverse=True)
    if cursor is not None:
        last = _read(cursor)
        ordered = [thing for thing in ordered if key(thing) < last]
    given = ordered[:limit]
    return given, _written(key(given[-1])) if len(ordered) > limit else None


def _written(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _read(cursor: str) -> Key:
    try:
        value = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        value = None
    match value:
        case [int() | float() as moment, str(name)] if not isinstance(moment, bool):
            return float(cast("float", moment)), name
        case _:
            raise BadInput("This cursor is none that a page gave.", "Take `next` of the page before, or begin anew.")
