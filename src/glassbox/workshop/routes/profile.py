"""Who is logged in, what they say about themselves, and their password."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, Field

from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.accounts.actor import Actor, Role, Scope
from glassbox.workshop.accounts.passwords import LONGEST, SHORTEST
from glassbox.workshop.accounts.users import Persona
from glassbox.workshop.bodies import Body, Line
from glassbox.workshop.problems import Conflict, NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop, Workshop

router = Router(tags=["You"])


class Profile(BaseModel):
    """You, as the workshop knows you."""

    id: str = Field(examples=["5f1c6a0be2d34a77"])
    name: str = Field(description="What you log in with.", examples=["ada"])
    display_name: str = Field(description="What others see.", examples=["Ada L."])
    persona: Persona | None = Field(description="What you came for; decides what is shown first.", examples=["learner"])
    role: Role = Field(examples=["member"])
    scope: Scope = Field(description="What you asked with may do: everything that you may, or only talk to models.")
    people: Literal["one", "many"] = Field(description="Is this workshop for whoever sits here, or for many people?")
    has_password: bool = Field(description="False for whoever sits at the machine of a workshop for one.")


class ProfileChanges(Body):
    """What is to change; what is left out stays."""

    display_name: Annotated[Line, Field(min_length=1, max_length=80)] | None = Field(None, examples=["Ada L."])
    persona: Persona | None = Field(None, examples=["builder"])


class PasswordChange(Body):
    """The old password and the new one."""

    old: str = Field(min_length=1, max_length=LONGEST)
    new: str = Field(min_length=SHORTEST, max_length=LONGEST, examples=["four words nobody guesses"])


@router.get("/api/me", summary="Show who you are")
@allows("member", scope="models")
def get_profile(workshop: CurrentWorkshop, actor: CurrentActor) -> Profile:
    """Whom the workshop takes you for."""
    return profile(workshop, actor)


@router.patch("/api/me", summary="Change what others see of you")
@allows("member")
def change_profile(changes: ProfileChanges, workshop: CurrentWorkshop, actor: CurrentActor) -> Profile:
    """A name for others to see, and what you came for."""
    workshop.users.describe(actor.id, display_name=changes.display_name, persona=changes.persona)
    return profile(workshop, actor)


@router.put("/api/me/password", summary="Change your password", status_code=204)
@allows("member", by_session=True)
def change_password(change: PasswordChange, workshop: CurrentWorkshop, actor: CurrentActor, request: Request) -> None:
    """Ends every other session of yours, and withdraws every key."""
    user = workshop.users.get(actor.id)
    if user is None or not user.has_password:
        raise Conflict("You have no password: you came in by a one-time address.", "There is nothing to change.")
    address = "" if request.client is None else request.client.host
    workshop.login.change(user, change.old, change.new, address, keep_session=actor.session)


def profile(workshop: Workshop, actor: Actor) -> Profile:
    """What a person is told about themselves."""
    user = workshop.users.get(actor.id)
    if user is None:
        raise NotFound("person", actor.name)
    return Profile(
        id=user.id,
        name=user.name,
        display_name=user.display_name,
        persona=user.persona,
        role=user.role,
        scope=actor.scope,
        people=workshop.settings.people,
        has_password=user.has_password,
    )
