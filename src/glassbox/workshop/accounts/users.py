"""The people of a workshop."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import func, select

from glassbox.errors import BadInput
from glassbox.workshop.access.actor import Role, role_of
from glassbox.workshop.accounts.secrets import new_id
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import UserRow
from glassbox.workspace.names import check_name

LOCAL_USER = "local"
"""The id and the name of the one person of a workshop without accounts."""


@dataclass(frozen=True)
class User:
    """An account."""

    id: str
    name: str
    role: Role
    created: float
    disabled: float | None


class Users:
    """Adds and finds people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def local(self) -> User:
        """The one person of a workshop without accounts: an owner whom nobody can log in as."""
        with self._database.writing() as session:
            row = session.get(UserRow, LOCAL_USER)
            if row is None:
                row = UserRow(id=LOCAL_USER, name=LOCAL_USER, role="owner", created=time.time())
                session.add(row)
            return _told(row)

    def add(self, name: str, role: Role, password_hash: str | None) -> User:
        """A new account. Raises BadInput for a name that cannot be one, or is taken."""
        name = name.lower()
        check_name(name)
        with self._database.writing() as session:
            if session.scalar(select(UserRow).where(UserRow.name == name)) is not None:
                raise BadInput(f"The name {name} is taken.", "Choose another.")
            row = UserRow(id=new_id(), name=name, role=role, password_hash=password_hash, created=time.time())
            session.add(row)
            return _told(row)

    def get(self, user_id: str) -> User | None:
        """The person with that id."""
        with self._database.reading() as session:
            row = session.get(UserRow, user_id)
            return None if row is None else _told(row)

    def named(self, name: str) -> User | None:
        """The person of that name."""
        with self._database.reading() as session:
            row = session.scalar(select(UserRow).where(UserRow.name == name.lower()))
            return None if row is None else _told(row)

    def list(self) -> list[User]:
        """Everyone, by name."""
        with self._database.reading() as session:
            return [_told(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]

    def has_owner(self) -> bool:
        """Is there an owner who can log in?"""
        query = select(func.count()).select_from(UserRow).where(UserRow.role == "owner", UserRow.disabled.is_(None))
        with self._database.reading() as session:
            return bool(session.scalar(query.where(UserRow.password_hash.is_not(None))))


def _told(row: UserRow) -> User:
    return User(row.id, row.name, role_of(row.role), row.created, row.disabled)
