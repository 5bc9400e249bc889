"""The people of a workshop. What ends or changes what someone may do takes effect with their next request."""

from __future__ import annotations

import builtins
import time
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Row, Select, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from glassbox.errors import BadInput
from glassbox.workshop.accounts.actor import Role, role_of
from glassbox.workshop.accounts.secrets import new_id
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import ApiKeyRow, OneTimeTokenRow, SessionRow, UserRow
from glassbox.workshop.problems import Conflict, NotFound
from glassbox.workspace.names import check_name

LOCAL_USER = "local"
"""The id and the name of the one person of a workshop without accounts."""

LONGEST_NAME = 40

_ONE = select(UserRow.__table__).where(UserRow.id == bindparam("id"))
_NAMES = select(UserRow.id, UserRow.name)

Persona = Literal["learner", "educator", "builder"]
"""What a person came for; decides what is shown first, never what they may do."""


@dataclass(frozen=True)
class User:
    """An account."""

    id: str
    name: str
    role: Role
    display_name: str
    persona: Persona | None
    created: float
    disabled: float | None
    has_password: bool


class Users:
    """Adds, finds and changes people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def local(self) -> User:
        """The one person of a workshop without accounts: an owner whom nobody can log in as."""
        with self._database.reading() as session:
            row = session.get(UserRow, LOCAL_USER)
            if row is not None:
                return _told(row)
        with self._database.writing() as session:
            row = session.get(UserRow, LOCAL_USER)
            if row is None:
                row = _new_row(LOCAL_USER, LOCAL_USER, "owner", None)
                session.add(row)
            return _told(row)

    def add(self, name: str, role: Role, password_hash: str | None) -> User:
        """A new account. Raises BadInput for a name that cannot be one, or is taken."""
        name = name.lower()
        check_name(name)
        if len(name) > LONGEST_NAME:
            raise BadInput(f"A person's name has at most {LONGEST_NAME} characters.", "Give a shorter name.")
        if name == LOCAL_USER:
            raise BadInput(f"{LOCAL_USER} is whoever sits at the machine.", "Choose another name.")
        with self._database.writing() as session:
            if session.scalar(select(UserRow).where(UserRow.name == name)) is not None:
                raise BadInput(f"The name {name} is taken.", "Choose another.")
            row = _new_row(new_id(), name, role, password_hash)
            session.add(row)
            return _told(row)

    def get(self, user_id: str) -> User | None:
        """The person with that id."""
        for row in self._database.rows(_ONE, id=user_id):
            return _told(row)
        return None

    def named(self, name: str) -> User | None:
        """The person of that name."""
        with self._database.reading() as session:
            row = session.scalar(select(UserRow).where(UserRow.name == name.lower()))
            return None if row is None else _told(row)

    def password_hash(self, user_id: str) -> str | None:
        """What a password is compared with; None for whoever has none, is disabled or isn't there."""
        with self._database.reading() as session:
            row = session.get(UserRow, user_id)
            return None if row is None or row.disabled is not None else row.password_hash

    def list(self) -> builtins.list[User]:
        """Everyone, by name."""
        with self._database.reading() as session:
            return [_told(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]

    def names(self) -> dict[str, str]:
        """Everyone's name, by their id."""
        return {row.id: row.name for row in self._database.rows(_NAMES)}

    def has_owner(self) -> bool:
        """Is there an owner who can log in?"""
        with self._database.reading() as session:
            return bool(session.scalar(_owners_who_can_log_in()))

    def describe(self, user_id: str, *, display_name: str | None = None, persona: Persona | None = None) -> User:
        """Change what a person says about themselves; None leaves it. Raises NotFound."""
        with self._database.writing() as session:
            row = _row(session, user_id)
            if display_name is not None:
                row.display_name = display_name
            if persona is not None:
                row.persona = persona
            return _told(row)

    def set_password(self, user_id: str, password_hash: str, *, keep_session: str | None = None) -> User:
        """A new password. Every session but `keep_session`, every key and every way in that is open ends with it.

        Raises NotFound.
        """
        with self._database.writing() as session:
            row = _row(session, user_id)
            row.password_hash = password_hash
            _shut_out(session, user_id, keep_session)
            return _told(row)

    def set_role(self, user_id: str, role: Role) -> User:
        """Raises NotFound, and Conflict if nobody would be left who can log in as an owner."""
        with self._database.writing() as session:
            row = _row(session, user_id)
            _check_not_local(row)
            before, row.role = row.role, role
            _check_owner_left(session, row, was_owner=before == "owner" and role != "owner")
            return _told(row)

    def disable(self, user_id: str) -> User:
        """Shut a person out, and end all that is open. What they made stays.

        Raises NotFound, and Conflict if nobody would be left who can log in as an owner.
        """
        with self._database.writing() as session:
            row = _row(session, user_id)
            _check_not_local(row)
            row.disabled = row.disabled or time.time()
            _check_owner_left(session, row, was_owner=row.role == "owner")
            _shut_out(session, user_id, keep_session=None)
            return _told(row)

    def enable(self, user_id: str) -> User:
        """Let a person in again, by their password; keys that were withdrawn stay so. Raises NotFound."""
        with self._database.writing() as session:
            row = _row(session, user_id)
            row.disabled = None
            return _told(row)


def _new_row(user_id: str, name: str, role: Role, password_hash: str | None) -> UserRow:
    return UserRow(
        id=user_id,
        name=name,
        role=role,
        password_hash=password_hash,
        display_name="",
        persona=None,
        created=time.time(),
    )


def _row(session: Session, user_id: str) -> UserRow:
    row = session.get(UserRow, user_id)
    if row is None:
        raise NotFound("person", user_id)
    return row


def _check_not_local(row: UserRow) -> None:
    if row.id == LOCAL_USER:
        raise Conflict(
            "This is whoever sits at the machine.", "Start the workshop with --people many to have accounts."
        )


def _owners_who_can_log_in() -> Select[int]:
    return (
        select(func.count())
        .select_from(UserRow)
        .where(UserRow.role == "owner", UserRow.disabled.is_(None), UserRow.password_hash.is_not(None))
    )


def _check_owner_left(session: Session, row: UserRow, *, was_owner: bool) -> None:
    """Raises Conflict, which undoes the change, if this took the last owner's role or way in."""
    if not was_owner or row.password_hash is None:
        return
    session.flush()
    if not session.scalar(_owners_who_can_log_in()):
        raise Conflict(f"{row.name} is the last owner.", "Make someone else an owner first.")


def _shut_out(session: Session, user_id: str, keep_session: str | None) -> None:
    session.execute(delete(SessionRow).where(SessionRow.user == user_id, SessionRow.id != (keep_session or "")))
    session.execute(delete(OneTimeTokenRow).where(OneTimeTokenRow.user == user_id))
    withdrawn = update(ApiKeyRow).where(ApiKeyRow.user == user_id, ApiKeyRow.revoked.is_(None))
    session.execute(withdrawn.values(revoked=time.time()))


def _told(row: UserRow | Row[Any]) -> User:
    return User(
        id=row.id,
        name=row.name,
        role=role_of(row.role),
        display_name=row.display_name or row.name,
        persona=cast("Persona | None", row.persona),
        created=row.created,
        disabled=row.disabled,
        has_password=row.password_hash is not None,
    )
