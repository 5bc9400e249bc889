"""API keys, for programs. A key is shown once, when it is made."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from glassbox.workshop.accounts.actor import Actor, Scope, role_of
from glassbox.workshop.accounts.secrets import KEY_BEGINNING, hashed, new_id, new_secret
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import ApiKeyRow, UserRow

_USED_EVERY = 60.0  # seconds between two notes of when a key was last used
_SHOWN = len(KEY_BEGINNING) + 5
_WHOSE = (
    select(ApiKeyRow.id, ApiKeyRow.user, ApiKeyRow.scope, ApiKeyRow.expires, ApiKeyRow.revoked, ApiKeyRow.used)
    .add_columns(UserRow.name, UserRow.role, UserRow.disabled)
    .join(UserRow, UserRow.id == ApiKeyRow.user)
    .where(ApiKeyRow.hash == bindparam("hash"))
)


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key after it was made."""

    id: str
    name: str
    beginning: str
    scope: Scope
    created: float
    expires: float | None
    revoked: float | None
    used: float | None
    requests_per_minute: int | None
    tokens_per_day: int | None


class ApiKeys:
    """Makes, recognises and withdraws them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(
        self,
        user: str,
        name: str,
        *,
        scope: Scope = "workshop",
        lasts: float | None = None,
        requests_per_minute: int | None = None,
        tokens_per_day: int | None = None,
    ) -> tuple[str, ApiKey]:
        """A new key of a person: its secret, which isn't kept, and what is known of it later."""
        secret, now = KEY_BEGINNING + new_secret(), time.time()
        row = ApiKeyRow(
            id=new_id(),
            hash=hashed(secret),
            beginning=secret[:_SHOWN],
            user=user,
            name=name,
            scope=scope,
            created=now,
            expires=None if lasts is None else now + lasts,
            requests_per_minute=requests_per_minute,
            tokens_per_day=tokens_per_day,
        )
        with self._database.writing() as session:
            session.add(row)
        return secret, _told(row)

    def actor(self, secret: str) -> Actor | None:
        """Whose key it is; None if it is unknown, expired or withdrawn, or its person is disabled."""
        now = time.time()
        for row in self._database.rows(_WHOSE, hash=hashed(secret)):
            if row.revoked is not None or row.disabled is not None or (row.expires is not None and row.expires < now):
                return None
            if row.used is None or now - row.used > _USED_EVERY:
                with self._database.writing() as session:
                    session.execute(update(ApiKeyRow).where(ApiKeyRow.id == row.id).values(used=now))
            scope: Scope = "models" if row.scope == "models" else "workshop"
            return Actor(row.user, row.name, role_of(row.role), scope, key=row.id)
        return None

    def of(self, user: str) -> list[ApiKey]:
        """A person's keys, newest first, withdrawn ones too."""
        query = select(ApiKeyRow).where(ApiKeyRow.user == user).order_by(ApiKeyRow.created.desc())
        with self._database.reading() as session:
            return [_told(row) for row in session.scalars(query)]

    def revoke(self, user: str, key_id: str) -> bool:
        """Withdraw one of a person's keys. Was there such a one?"""
        with self._database.writing() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is None or row.user != user:
                return False
            row.revoked = row.revoked or time.time()
            return True

    def revoke_all(self, user: str) -> None:
        """Withdraw every key of a person."""
        with self._database.writing() as session:
            for row in session.scalars(select(ApiKeyRow).where(ApiKeyRow.user == user)):
                row.revoked = row.revoked or time.time()


def _told(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        beginning=row.beginning,
        scope="models" if row.scope == "models" else "workshop",
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        used=row.used,
        requests_per_minute=row.requests_per_minute,
        tokens_per_day=row.tokens_per_day,
    )
