"""Showing runs and artifacts to others: to everyone with an account, or to whoever holds a link."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from pydantic import BaseModel, Field

from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.noting import noted_as
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.accounts.links import Link
from glassbox.workshop.bodies import Body
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.visible import ShareableKind

router = Router(tags=["Sharing"], prefix="/api/sharing/{kind}/{object_id}")

_DAY = 24 * 3600.0

Kind = Annotated[ShareableKind, Path(description="What is shared.")]
ObjectId = Annotated[str, Path(max_length=100, description="The run's or the artifact's id.")]


class LinkView(BaseModel):
    """What is known of a link after it was made."""

    id: str = Field(description="What it is withdrawn by.", examples=["5f1c6a0be2d34a77"])
    created: float = Field(description="Seconds since 1970.", examples=[1795284000.0])
    expires: float | None = Field(description="Seconds since 1970; null: when it is withdrawn.")


class MadeLink(LinkView):
    """A new link, with its address."""

    address: str = Field(
        description="Whoever has it may look, with an account or without. It is shown now and never again.",
        examples=["http://127.0.0.1:8000/shared/…"],
    )


class NewLink(Body):
    """How long a link is to lead somewhere."""

    days: int | None = Field(30, ge=1, le=3650, description="null: until it is withdrawn.")


class Sharing(BaseModel):
    """Whom something is shown to, beside its owner."""

    everyone: bool = Field(description="Everyone who has an account.")
    links: list[LinkView] = Field(description="Whoever holds one of these.")


@router.get("", summary="Show whom something is shared with")
@allows("member")
def get_sharing(kind: Kind, object_id: ObjectId, seen: Seen, workshop: CurrentWorkshop) -> Sharing:
    """For whom it belongs to."""
    seen.check_may_share(kind, object_id)
    links = [_view(link) for link in workshop.links.of(kind, object_id)]
    return Sharing(everyone=seen.is_shared(kind, object_id), links=links)


@router.put("/everyone", summary="Share something with everyone", status_code=204)
@allows("member")
def share_with_everyone(kind: Kind, object_id: ObjectId, seen: Seen) -> None:
    """Everyone who has an account may look at it; it stays yours."""
    seen.check_may_share(kind, object_id)
    seen.share(kind, object_id)


@router.delete("/everyone", summary="Stop sharing something with everyone", status_code=204)
@allows("member")
def unshare_with_everyone(kind: Kind, object_id: ObjectId, seen: Seen) -> None:
    """Those whose it isn't see it no more. Links stay until they are withdrawn."""
    seen.check_may_share(kind, object_id)
    seen.unshare(kind, object_id)


@router.post("/links", summary="Make a link", status_code=201)
@allows("member")
def make_link(
    kind: Kind,
    object_id: ObjectId,
    wanted: NewLink,
    seen: Seen,
    workshop: CurrentWorkshop,
    actor: CurrentActor,
    request: Request,
) -> MadeLink:
    """An address under which anyone may look at it."""
    seen.check_may_share(kind, object_id)
    lasts = None if wanted.days is None else wanted.days * _DAY
    secret, link = workshop.links.make(kind, object_id, actor.id, lasts=lasts)
    noted_as(request, f"{kind}/{object_id}/{link.id}")
    address = f"{str(request.base_url).rstrip('/')}/shared/{secret}"
    return MadeLink(address=address, **_view(link).model_dump())


@router.delete("/links/{link_id}", summary="Withdraw a link", status_code=204)
@allows("member")
def withdraw_link(
    kind: Kind,
    object_id: ObjectId,
    link_id: Annotated[str, Path(max_length=100)],
    seen: Seen,
    workshop: CurrentWorkshop,
) -> None:
    """It leads nowhere from now on."""
    seen.check_may_share(kind, object_id)
    if not workshop.links.withdraw(kind, object_id, link_id):
        raise NotFound("link", link_id)


def _view(link: Link) -> LinkView:
    return LinkView.model_validate(link, from_attributes=True)
