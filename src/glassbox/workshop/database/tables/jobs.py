"""The queue. How a run goes is said by its folder; here stands when it may start, on what, and who looks after it."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from glassbox.workshop.database.tables.base import Table


class JobRow(Table):
    """A run that the workshop was asked to do."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("user", "idempotency_key"),
        Index("ix_jobs_state_priority_queued", "state", "priority", "queued"),
    )

    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16))  # waiting, starting, at_work, ended
    wanted: Mapped[str] = mapped_column(String(16))  # run, pause, stop, cancel: what a person asked for last
    priority: Mapped[int]  # higher goes first
    launcher: Mapped[str] = mapped_column(String(16))
    processes: Mapped[int]
    threads: Mapped[int]  # CPU threads that it takes
    memory: Mapped[int] = mapped_column(BigInteger)  # bytes that it takes
    gpus: Mapped[int]
    from_checkpoint: Mapped[int | None]
    queued: Mapped[float]
    started: Mapped[float | None]
    ended: Mapped[float | None]
    tries: Mapped[int]  # how often it was started
    retries: Mapped[int]  # how often it may be started again by itself after it was killed
    handle: Mapped[str | None] = mapped_column(Text)  # the launcher's, as JSON
    lease_holder: Mapped[str | None] = mapped_column(String(32))
    lease_expires: Mapped[float | None]
    note: Mapped[str | None] = mapped_column(String(500))  # why it waits, or what went wrong with starting it
