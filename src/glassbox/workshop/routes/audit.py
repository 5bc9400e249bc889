"""The audit log, for owners."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from glassbox.workshop.access.guards import allows
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop

router = Router(tags=["People"])


class AuditEntry(BaseModel):
    """One thing that was done, or that a known person tried."""

    number: int = Field(description="Rises with every entry.", examples=[412])
    time: float = Field(description="Seconds since 1970.", examples=[1795284000.0])
    actor: str = Field(description="The id of who it was; empty if nobody known.", examples=["5f1c6a0be2d34a77"])
    actor_name: str = Field(description="Their name at that time.", examples=["ada"])
    action: str = Field(description="The operation's id.", examples=["start_pretrain"])
    subject: str = Field(description="What it was done to.", examples=["pretrain-k7xq2m"])
    status: int = Field(description="How it was answered.", examples=[201])
    address: str = Field(description="Where the request came from.", examples=["192.168.1.20"])
    request: str = Field(description="The id that the answer, its errors and the log carry.")


class AuditPage(BaseModel):
    """Some of the entries, the newest first."""

    entries: list[AuditEntry]
    next: int | None = Field(description="`before` for the next page; null: there is none.")


@router.get("/api/audit", summary="Show what was done, and by whom")
@allows("owner")
def list_audit(
    workshop: CurrentWorkshop,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only entries with a smaller number.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    actor: Annotated[str | None, Query(max_length=32, description="Only what the person with this id did.")] = None,
) -> AuditPage:
    """Every change that was made through this API, the newest first."""
    found = workshop.audit.entries(before=before, limit=limit + 1, actor=actor)
    entries = [AuditEntry.model_validate(one, from_attributes=True) for one in found[:limit]]
    return AuditPage(entries=entries, next=entries[-1].number if len(found) > limit else None)
