"""Browsers that are logged in: a cookie holds the secret, the database its hash."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select

from glassbox.workshop.accounts.actor import Actor, role_of
from glassbox.workshop.accounts.secrets import hashed, new_id, new_secret
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import OneTimeTokenRow, SessionRow, UserRow

LASTS = 30 * 24 * 3600.0  # seconds since it was last used
_SEEN_EVERY = 3600.0  # seconds between two notes of when it was last used
_TOKEN_LASTS = 15 * 60.0
_WHOSE = (
    select(SessionRow.id, SessionRow.user, SessionRow.seen, SessionRow.expires)
    .add_columns(UserRow.name, UserRow.role, UserRow.disabled)
    .join(UserRow, UserRow.id == SessionRow.user)
    .where(SessionRow.hash == bindparam("hash"))
)


@dataclass(frozen=True)
class Session:
    """What a person sees of their sessions."""

    id: str
    created: float
    seen: float
    agent: str


class Sessions:
    """Opens, recognises and ends them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, user: str, agent: str) -> str:
        """A new session's secret, for the cookie. agent: how the browser calls itself."""
        secret, now = new_secret(), time.time()
        row = SessionRow(
            hash=hashed(secret), id=new_id(), user=user, created=now, seen=now, expires=now + LASTS, agent=agent[:200]
        )
        with self._database.writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.expires < now))
            session.add(row)
        return secret

    def actor(self, secret: str) -> Actor | None:
        """Whose session it is; None if it is unknown or over, or its person is disabled."""
        now, token_hash = time.time(), hashed(secret)
        for row in self._database.rows(_WHOSE, hash=token_hash):
            if row.expires < now or row.disabled is not None:
                return None
            if now - row.seen > _SEEN_EVERY:
                self._note_seen(token_hash, now)
            return Actor(row.user, row.name, role_of(row.role), session=row.id)
        return None

    def end(self, user: str, session_id: str) -> bool:
        """End one of a person's sessions. Was there such a one?"""
        with self._database.writing() as session:
            row = session.scalar(select(SessionRow).where(SessionRow.user == user, SessionRow.id == session_id))
            if row is not None:
                session.delete(row)
            return row is not None

    def end_all(self, user: str) -> None:
        """End every session of a person."""
        with self._database.writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.user == user))

    def of(self, user: str) -> list[Session]:
        """A person's sessions, newest first."""
        query = select(SessionRow).where(SessionRow.user == user, SessionRow.expires > time.time())
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(SessionRow.seen.desc())).all()
        return [Session(row.id, row.created, row.seen, row.agent) for row in rows]

    def one_time_token(self, user: str, purpose: str = "open", *, lasts: float = _TOKEN_LASTS) -> str:
        """A secret that can be changed for a session once, within `lasts` seconds."""
        secret, now = new_secret(), time.time()
        with self._database.writing() as session:
            session.execute(delete(OneTimeTokenRow).where(OneTimeTokenRow.expires < now))
            session.add(OneTimeTokenRow(hash=hashed(secret), user=user, purpose=purpose, expires=now + lasts))
        return secret

    def whose(self, secret: str, purpose: str) -> str | None:
        """Whose one-time token it is, which it stays. None if it is unknown, over or used."""
        with self._database.reading() as session:
            row = session.get(OneTimeTokenRow, hashed(secret))
        return row.user if row is not None and row.purpose == purpose and row.expires >= time.time() else None

    def redeem(self, secret: str, purpose: str = "open") -> str | None:
        """Whose one-time token it is; it is used up by this. None if it is unknown, over or used."""
        with self._database.writing() as session:
            row = session.get(OneTimeTokenRow, hashed(secret))
            if row is None or row.purpose != purpose:
                return None
            session.delete(row)
            return row.user if row.expires >= time.time() else None

    def _note_seen(self, token_hash: str, now: float) -> None:
        with self._database.writing() as session:
            row = session.get(SessionRow, token_hash)
            if row is not None:
                row.seen, row.expires = now, now + LASTS
