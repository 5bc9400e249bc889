"""The people of a workshop, for its owners: who there is, who may come, what they may do."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request, Response
from pydantic import BaseModel, Field

from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.noting import noted_as
from glassbox.workshop.accounts.actor import Role
from glassbox.workshop.accounts.passwords import LONGEST, SHORTEST, check_password, hash_password
from glassbox.workshop.accounts.users import LOCAL_USER, LONGEST_NAME, Persona, User
from glassbox.workshop.bodies import Body, Line
from glassbox.workshop.problems import Conflict, NotFound, NotLoggedIn
from glassbox.workshop.router import Router
from glassbox.workshop.routes.profile import Profile, profile
from glassbox.workshop.routes.sessions import begin_session
from glassbox.workshop.state import CurrentWorkshop, Workshop

router = Router(tags=["People"])

INVITATION = "password"
_INVITATION_LASTS = 7 * 24 * 3600.0

PersonId = Annotated[str, Path(max_length=100)]


class Person(BaseModel):
    """Someone with an account."""

    id: str = Field(examples=["5f1c6a0be2d34a77"])
    name: str = Field(examples=["ada"])
    display_name: str = Field(examples=["Ada L."])
    persona: Persona | None
    role: Role
    created: float = Field(description="Seconds since 1970.", examples=[1795284000.0])
    disabled: float | None = Field(description="Since when they are shut out; null: they aren't.")
    has_password: bool = Field(description="False until they have followed their invitation.")


class NewPerson(Body):
    """Whom to invite."""

    name: Annotated[Line, Field(min_length=1, max_length=LONGEST_NAME, examples=["ada"])]
    role: Role = "member"


class Invitation(BaseModel):
    """A way in for one person, once."""

    person: Person
    address: str = Field(
        description="Where they choose a password; to be handed over by you. It works once, and is shown only now.",
        examples=["http://127.0.0.1:8000/invitation?token=…"],
    )
    expires_in: float = Field(description="Seconds.", examples=[_INVITATION_LASTS])


class PersonChanges(Body):
    """What is to change; what is left out stays."""

    role: Role | None = None
    disabled: bool | None = Field(
        None, description="true shuts them out and ends all that is open; false lets them in."
    )


class Acceptance(Body):
    """The token of an invitation, and the password that was chosen."""

    token: str = Field(min_length=1, max_length=100)
    password: str = Field(min_length=SHORTEST, max_length=LONGEST, examples=["four words nobody guesses"])


@router.get("/api/people", summary="List people")
@allows("owner")
def list_people(workshop: CurrentWorkshop) -> list[Person]:
    """Everyone with an account, by name."""
    return [_view(user) for user in workshop.users.list() if user.id != LOCAL_USER]


@router.post("/api/people", summary="Invite a person", status_code=201)
@allows("owner", by_session=True)
def invite_person(wanted: NewPerson, workshop: CurrentWorkshop, request: Request, response: Response) -> Invitation:
    """Makes an account, and an address where that person chooses a password."""
    user = workshop.users.add(wanted.name, wanted.role, None)
    response.headers["Location"] = f"/api/people/{user.id}"
    noted_as(request, user.id)
    return _invitation(workshop, user, request)


@router.get("/api/people/{person_id}", summary="Show a person")
@allows("owner")
def get_person(person_id: PersonId, workshop: CurrentWorkshop) -> Person:
    """One person."""
    return _view(_person(workshop, person_id))


@router.patch("/api/people/{person_id}", summary="Change what a person may do")
@allows("owner", by_session=True)
def change_person(person_id: PersonId, changes: PersonChanges, workshop: CurrentWorkshop) -> Person:
    """Another role, or shut out, or let in again. The last owner stays one: else the answer is 409."""
    user = _person(workshop, person_id)
    if changes.role is not None:
        user = workshop.users.set_role(user.id, changes.role)
    if changes.disabled is not None:
        user = workshop.users.disable(user.id) if changes.disabled else workshop.users.enable(user.id)
    return _view(user)


@router.post("/api/people/{person_id}/invitation", summary="Invite a person anew", status_code=201)
@allows("owner", by_session=True)
def renew_invitation(person_id: PersonId, workshop: CurrentWorkshop, request: Request) -> Invitation:
    """Another address to choose a password: for who lost the first, or forgot the password.

    The password that there is stays until a new one is chosen; then every session and key of theirs ends.
    """
    user = _person(workshop, person_id)
    if user.disabled is not None:
        raise Conflict(f"{user.name} is shut out.", "Let them in again first.")
    return _invitation(workshop, user, request)


@router.post("/api/invitation", summary="Follow an invitation")
@allows("everyone")
def accept_invitation(
    acceptance: Acceptance, workshop: CurrentWorkshop, request: Request, response: Response
) -> Profile:
    """Choose a password, and be logged in."""
    user = invited(workshop, acceptance.token)
    check_password(acceptance.password, user.name)
    if workshop.sessions.redeem(acceptance.token, INVITATION) is None:  # twice at once: one of them was faster
        raise _used()
    workshop.users.set_password(user.id, hash_password(acceptance.password))
    actor = begin_session(response, workshop, user, request)
    return profile(workshop, actor)


def invited(workshop: Workshop, token: str) -> User:
    """Whose invitation it is. Raises NotLoggedIn for one that leads nowhere."""
    user_id = workshop.sessions.whose(token, INVITATION)
    user = None if user_id is None else workshop.users.get(user_id)
    if user is None or user.disabled is not None:
        raise _used()
    return user


def _used() -> NotLoggedIn:
    return NotLoggedIn("This invitation was used already, or is too old.", "Ask an owner for a new one.")


def _invitation(workshop: Workshop, user: User, request: Request) -> Invitation:
    token = workshop.sessions.one_time_token(user.id, INVITATION, lasts=_INVITATION_LASTS)
    address = f"{str(request.base_url).rstrip('/')}/invitation?token={token}"
    return Invitation(person=_view(user), address=address, expires_in=_INVITATION_LASTS)


def _person(workshop: Workshop, person_id: str) -> User:
    user = workshop.users.get(person_id)
    if user is None or user.id == LOCAL_USER:
        raise NotFound("person", person_id)
    return user


def _view(user: User) -> Person:
    return Person.model_validate(user, from_attributes=True)
