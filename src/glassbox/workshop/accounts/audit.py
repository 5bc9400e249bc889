"""The audit log: who did what to what, when, from where, and how it was answered. Rows are only ever added."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import select

from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import AuditRow


@dataclass(frozen=True)
class Entry:
    """One thing that was done. number: rises with every entry."""

    number: int
    time: float
    actor: str
    actor_name: str
    action: str
    subject: str
    status: int
    address: str
    request: str


class Audit:
    """Notes, and shows what was noted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, actor: Actor | None, action: str, subject: str, status: int, address: str, request: str) -> None:
        """Add an entry. Raises DatabaseAway."""
        row = AuditRow(
            time=time.time(),
            actor="" if actor is None else actor.id,
            actor_name="" if actor is None else actor.name,
            action=action[:64],
            subject=subject.replace("\x00", "�")[:200],
            status=status,
            address=address[:64],
            request=request,
        )
        with self._database.writing() as session:
            session.add(row)

    def entries(self, *, before: int | None, limit: int, actor: str | None = None) -> list[Entry]:
        """The newest first; before: only those with a smaller number. actor: only what that person did."""
        query = select(AuditRow).order_by(AuditRow.row.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditRow.row < before)
        if actor is not None:
            query = query.where(AuditRow.actor == actor)
        with self._database.reading() as session:
            return [_told(row) for row in session.scalars(query)]


def _told(row: AuditRow) -> Entry:
    return Entry(
        number=row.row,
        time=row.time,
        actor=row.actor,
        actor_name=row.actor_name,
        action=row.action,
        subject=row.subject,
        status=row.status,
        address=row.address,
        request=row.request,
    )
