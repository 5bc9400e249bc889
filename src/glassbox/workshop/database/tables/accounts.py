"""People, and what lets them in. Tokens, keys and passwords are here as hashes only."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from glassbox.workshop.database.tables.base import Table


class UserRow(Table):
    """An account. The one of local mode has no password: nobody can log in to it."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)  # in lower case
    role: Mapped[str] = mapped_column(String(16))  # owner, educator, member
    password_hash: Mapped[str | None] = mapped_column(String(255))
    display_name: Mapped[str] = mapped_column(String(80))  # empty: the name
    persona: Mapped[str | None] = mapped_column(String(16))  # learner, educator, builder: what is shown first
    created: Mapped[float]
    disabled: Mapped[float | None]  # since when


class SessionRow(Table):
    """A browser that is logged in."""

    __tablename__ = "sessions"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)  # what its owner sees, and ends it by
    user: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[float]
    seen: Mapped[float]
    expires: Mapped[float]
    agent: Mapped[str] = mapped_column(String(200))


class ApiKeyRow(Table):
    """A key for programs."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    beginning: Mapped[str] = mapped_column(String(16))  # what is shown of it
    user: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    scope: Mapped[str] = mapped_column(String(16))  # models: only /v1; workshop: everything that its owner may do
    created: Mapped[float]
    expires: Mapped[float | None]
    revoked: Mapped[float | None]
    used: Mapped[float | None]
    requests_per_minute: Mapped[int | None]
    tokens_per_day: Mapped[int | None]


class OneTimeTokenRow(Table):
    """Opens a session once: in the address that the workshop prints, or in an invitation."""

    __tablename__ = "one_time_tokens"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    expires: Mapped[float]


class LoginAttemptRow(Table):
    """Someone tried a password; kept as long as it counts against the next try."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index("ix_login_attempts_name_time", "name", "time"),)

    row: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64), index=True)
    time: Mapped[float] = mapped_column(index=True)


class AuditRow(Table):
    """Who did what to what, and when. Rows are only ever added."""

    __tablename__ = "audit"

    row: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[float] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(32), index=True)  # a user's id, or "" for nobody known
    actor_name: Mapped[str] = mapped_column(String(64))  # as it was then
    action: Mapped[str] = mapped_column(String(64))  # the operation's id, such as "start_run"
    subject: Mapped[str] = mapped_column(String(200))  # the id of what it was done to
    status: Mapped[int]  # how it was answered
    address: Mapped[str] = mapped_column(String(64))
    request: Mapped[str] = mapped_column(String(32))  # the id that errors and logs carry too
