"""The queue. How a run goes is said by its folder; here stands when it may start, on what, and who looks after it."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from glassbox.workshop.database.tables.base import Table


class JobRow(Table):
    """A run that the workshop was asked to do. `jobs/states.py` says what its state and the folder's mean together."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("user", "idempotency_key"),
        Index("ix_jobs_state_priority_queued", "state", "priority", "queued"),
    )

    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(100))
    asked: Mapped[str] = mapped_column(String(64))  # the hash of what was asked with that key
    record: Mapped[str] = mapped_column(Text)  # what the folder is made from, as JSON; once it is there, it counts
    state: Mapped[str] = mapped_column(String(16))  # new, waiting, started, ended
    wanted: Mapped[str] = mapped_column(String(16))  # run, pause, cancel: what a person asked for last
    wanted_since: Mapped[float]
    priority: Mapped[int]  # higher goes first
    launcher: Mapped[str] = mapped_column(String(16))
    processes: Mapped[int]
    threads: Mapped[int]  # CPU threads of all its processes
    memory: Mapped[int] = mapped_column(BigInteger)  # bytes
    gpus: Mapped[int]
    from_checkpoint: Mapped[int | None]  # where the next attempt goes on from; None is the newest
    queued: Mapped[float]
    place: Mapped[str | None] = mapped_column(String(200))  # the machine whose slots it holds
    order: Mapped[str | None] = mapped_column(Text)  # the attempt that was ordered last, as JSON
    handle: Mapped[str | None] = mapped_column(Text)  # what the launcher finds it by, as JSON
    parked: Mapped[bool]  # paused, and its threads given to others
    started: Mapped[float | None]  # when that attempt was ordered
    ended: Mapped[float | None]
    kills: Mapped[int]  # how often it ended without wanting to, since it last got on
    retries: Mapped[int]  # how many of those it may start again after
    saved: Mapped[int | None]  # the newest checkpoint when that attempt was ordered
    lease_holder: Mapped[str | None] = mapped_column(String(300))
    lease_expires: Mapped[float | None]
    note: Mapped[str | None] = mapped_column(String(500))  # what happened to it that its folder doesn't say
