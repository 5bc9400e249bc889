"""API keys: for programs, and to talk to the served models with OpenAI's clients."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request, Response
from pydantic import BaseModel, Field

from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.noting import noted_as
from glassbox.workshop.accounts.actor import Scope
from glassbox.workshop.accounts.keys import ApiKey
from glassbox.workshop.bodies import Body, Line
from glassbox.workshop.problems import Conflict, NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop

router = Router(tags=["You"])

MOST = 100
"""Keys that a person may have at a time."""
_DAY = 24 * 3600.0


class NewKey(Body):
    """What a key is to be for."""

    name: Annotated[Line, Field(min_length=1, max_length=100, examples=["notebook"])]
    scope: Scope = Field("models", description="models: only talk to served models. workshop: everything you may do.")
    days: int | None = Field(None, ge=1, le=3650, description="How long it lasts; null: until it is withdrawn.")
    requests_per_minute: int | None = Field(None, ge=1, le=1_000_000, description="null: no limit of its own.")
    tokens_per_day: int | None = Field(None, ge=1, le=1_000_000_000, description="null: no limit of its own.")


class KeyView(BaseModel):
    """What is known of a key after it was made."""

    id: str = Field(examples=["5f1c6a0be2d34a77"])
    name: str = Field(examples=["notebook"])
    beginning: str = Field(description="How the key begins, to tell it from others.", examples=["glassbox-x7Gp2"])
    scope: Scope
    created: float = Field(description="Seconds since 1970.", examples=[1795284000.0])
    expires: float | None = Field(description="Seconds since 1970; null: never.")
    revoked: float | None = Field(description="When it was withdrawn; null: it wasn't.")
    used: float | None = Field(description="When it was last used, to the minute; null: never.")
    requests_per_minute: int | None
    tokens_per_day: int | None


class MadeKey(KeyView):
    """A new key, with its secret."""

    secret: str = Field(description="The key itself. It is shown now and never again.")


@router.get("/api/keys", summary="List your keys")
@allows("member")
def list_keys(workshop: CurrentWorkshop, actor: CurrentActor) -> list[KeyView]:
    """Your keys, newest first; withdrawn and expired ones too."""
    return [_view(key) for key in workshop.keys.of(actor.id)]


@router.post("/api/keys", summary="Make a key", status_code=201)
@allows("member", by_session=True)
def make_key(
    wanted: NewKey, workshop: CurrentWorkshop, actor: CurrentActor, request: Request, response: Response
) -> MadeKey:
    """A key for a program; its secret is in this answer only."""
    if sum(key.revoked is None for key in workshop.keys.of(actor.id)) >= MOST:
        raise Conflict(f"You have {MOST} keys, which is as many as one may have.", "Withdraw those you don't use.")
    secret, key = workshop.keys.make(
        actor.id,
        wanted.name,
        scope=wanted.scope,
        lasts=None if wanted.days is None else wanted.days * _DAY,
        requests_per_minute=wanted.requests_per_minute,
        tokens_per_day=wanted.tokens_per_day,
    )
    noted_as(request, key.id)
    return MadeKey(secret=secret, **_view(key).model_dump())


@router.delete("/api/keys/{key_id}", summary="Withdraw a key", status_code=204)
@allows("member", by_session=True)
def revoke_key(key_id: Annotated[str, Path(max_length=100)], workshop: CurrentWorkshop, actor: CurrentActor) -> None:
    """It opens nothing from now on; it stays in the list."""
    if not workshop.keys.revoke(actor.id, key_id):
        raise NotFound("key", key_id)


def _view(key: ApiKey) -> KeyView:
    return KeyView.model_validate(key, from_attributes=True)
