"""The tables of the database. They index what the folder says, and are filled from it again when the file is lost."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

VERSION = 1
"""Goes up with every change below; an older database is then filled anew from the folder."""


class Table(DeclarativeBase):
    pass


class ArtifactRow(Table):
    """One version of one artifact. A damaged one has a `problem` instead of an id."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("kind", "name", "version"),)

    row: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    version: Mapped[int]
    id: Mapped[str | None] = mapped_column(index=True)
    created: Mapped[float] = mapped_column(index=True)
    bytes: Mapped[int]
    run: Mapped[str | None] = mapped_column(index=True)
    problem: Mapped[str | None]
    parents: Mapped[list[ParentRow]] = relationship(cascade="all, delete-orphan", passive_deletes=True)


class ParentRow(Table):
    """One artifact was made from another, which may have been deleted since."""

    __tablename__ = "parents"

    child: Mapped[int] = mapped_column(ForeignKey("artifacts.row", ondelete="CASCADE"), primary_key=True)
    parent: Mapped[str] = mapped_column(primary_key=True, index=True)


class RunRow(Table):
    """One run. `stamp` tells whether its state file has changed since it was read."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    stage: Mapped[str]
    name: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    attempt: Mapped[int]
    created: Mapped[float] = mapped_column(index=True)
    stamp: Mapped[str]
    problem: Mapped[str | None]
    inputs: Mapped[list[RunInputRow]] = relationship(cascade="all, delete-orphan", passive_deletes=True)


class RunInputRow(Table):
    """A run reads an artifact."""

    __tablename__ = "run_inputs"

    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    artifact: Mapped[str] = mapped_column(primary_key=True, index=True)
