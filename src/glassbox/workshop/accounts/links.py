"""Links: whoever holds one may look at one thing, with an account or without, until it is withdrawn or expires."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import delete, select

from glassbox.workshop.accounts.secrets import hashed, new_id, new_secret
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import LinkRow, UserRow


@dataclass(frozen=True)
class Link:
    """What is known of a link after it was made."""

    id: str
    kind: str
    subject: str
    created: float
    expires: float | None
    by: str


class Links:
    """Makes, follows and withdraws them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(self, kind: str, subject: str, by: str, *, lasts: float | None) -> tuple[str, Link]:
        """A new link's secret, which isn't kept, and what is known of it later. lasts: seconds."""
        secret, now = new_secret(), time.time()
        row = LinkRow(
            hash=hashed(secret),
            id=new_id(),
            kind=kind,
            subject=subject,
            created=now,
            expires=None if lasts is None else now + lasts,
            by=by,
        )
        with self._database.writing() as session:
            session.execute(delete(LinkRow).where(LinkRow.expires < now))
            session.add(row)
        return secret, _told(row)

    def follow(self, secret: str) -> Link | None:
        """What it leads to; None if it is unknown, expired or withdrawn, or who made it is shut out."""
        query = select(LinkRow).join(UserRow, UserRow.id == LinkRow.by).where(UserRow.disabled.is_(None))
        with self._database.reading() as session:
            row = session.scalar(query.where(LinkRow.hash == hashed(secret)))
        if row is None or (row.expires is not None and row.expires < time.time()):
            return None
        return _told(row)

    def of(self, kind: str, subject: str) -> list[Link]:
        """The links that lead to a thing, newest first."""
        query = select(LinkRow).where(LinkRow.kind == kind, LinkRow.subject == subject)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(LinkRow.created.desc())).all()
        return [_told(row) for row in rows if row.expires is None or row.expires >= time.time()]

    def withdraw(self, kind: str, subject: str, link_id: str) -> bool:
        """Was there such a one?"""
        with self._database.writing() as session:
            row = session.scalar(select(LinkRow).where(LinkRow.id == link_id))
            if row is None or (row.kind, row.subject) != (kind, subject):
                return False
            session.delete(row)
            return True


def _told(row: LinkRow) -> Link:
    return Link(row.id, row.kind, row.subject, row.created, row.expires, row.by)
