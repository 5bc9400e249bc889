"""Served models, what people may ask of them, and what they have asked."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from glassbox.workshop.database.tables.base import Table


class DeploymentRow(Table):
    """A model under a public name. Whether its process is alive is known to the server that started it."""

    __tablename__ = "deployments"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    engine: Mapped[str] = mapped_column(String(16))  # glassbox, vllm
    wanted: Mapped[str] = mapped_column(String(16))  # running, stopped
    version: Mapped[int]  # the one that answers
    rows: Mapped[int]  # answers that are written side by side
    threads: Mapped[int | None]  # CPU threads; null takes what there is
    memory: Mapped[int | None] = mapped_column(BigInteger)  # bytes that its processes may hold
    unload_after: Mapped[int | None]  # seconds without a request; null is never
    created: Mapped[float]
    changed: Mapped[float]


class DeploymentVersionRow(Table):
    """One model that a deployment served, or was to serve. Kept, so that one can go back."""

    __tablename__ = "deployment_versions"

    deployment: Mapped[str] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(String(100))  # an artifact: name:3
    artifact: Mapped[str] = mapped_column(String(32))  # its id
    created: Mapped[float]
    by: Mapped[str] = mapped_column(String(32))  # a user's id; the user may be gone by now
    problem: Mapped[str | None] = mapped_column(String(1000))  # why it didn't come to answer
    card: Mapped[str | None] = mapped_column(Text)  # what it said of itself when it did, as JSON


class LimitRow(Table):
    """What a person may ask of models, whatever key they use; "" stands for everyone without a row of their own."""

    __tablename__ = "limits"

    person: Mapped[str] = mapped_column(String(32), primary_key=True)
    requests_per_minute: Mapped[int | None]
    tokens_per_day: Mapped[int | None]


class UsageDayRow(Table):
    """What one key (or "", a browser) of a person asked of a model on one day (UTC). Stays when the key goes."""

    __tablename__ = "usage_days"
    __table_args__ = (Index("ix_usage_days_user_day", "user", "day"), Index("ix_usage_days_key_day", "key", "day"))

    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # since 1970-01-01
    user: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(String(32), primary_key=True)
    model: Mapped[str] = mapped_column(String(80), primary_key=True)  # its public name
    requests: Mapped[int]
    failures: Mapped[int]  # of them, answered with 400 or more, or cut short by a fault
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]  # of all requests together
    first_token_seconds: Mapped[float]  # of those that were streamed
    streamed: Mapped[int]  # how many those are


class ModelRequestRow(Table):
    """One request to a model, kept for a month."""

    __tablename__ = "model_requests"
    __table_args__ = (
        Index("ix_model_requests_user_time", "user", "time"),
        Index("ix_model_requests_key_time", "key", "time"),
    )

    row: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(32))  # the request's, which its answer and the log carry too
    time: Mapped[float] = mapped_column(index=True)  # when it came
    user: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(32))
    model: Mapped[str] = mapped_column(String(80))
    endpoint: Mapped[str] = mapped_column(String(32))
    status: Mapped[int]  # 499: the client went before the end
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    seconds: Mapped[float]
    first_token_seconds: Mapped[float | None]  # of one that was streamed
