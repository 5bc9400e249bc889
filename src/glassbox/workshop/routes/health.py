"""Is the workshop well?"""

from __future__ import annotations

import time

from pydantic import BaseModel, Field
from sqlalchemy import text

import glassbox
from glassbox.workshop.access.guards import allows
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop

router = Router(tags=["Health"])
_ANYTHING = text("SELECT 1")


class Health(BaseModel):
    """The workshop answers, and so does its database."""

    status: str = Field(examples=["well"])
    version: str = Field(examples=["0.1.0"])
    database_milliseconds: float = Field(description="How long the database took to answer.", examples=[0.4])


@router.get("/health", summary="Is the workshop well?")
@allows("everyone")
def get_health(workshop: CurrentWorkshop) -> Health:
    """Answers 200 while the workshop and its database work, and 503 if the database is away."""
    began = time.perf_counter()
    workshop.database.rows(_ANYTHING)
    milliseconds = (time.perf_counter() - began) * 1000
    return Health(status="well", version=glassbox.__version__, database_milliseconds=round(milliseconds, 2))
