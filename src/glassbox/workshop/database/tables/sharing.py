"""Who owns what, and whom it is shown to. What nobody owns here was made on the command line: the owners' own."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from glassbox.workshop.database.tables.base import Table


class OwnerRow(Table):
    """An object belongs to a person. Artifacts aren't here: they belong to whom the run belongs that made them."""

    __tablename__ = "owners"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)  # run, spec, upload, deployment
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)


class ShareRow(Table):
    """An object (run, artifact, spec, …) is shown to everyone who has an account."""

    __tablename__ = "shares"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    created: Mapped[float]
    by: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))


class LinkRow(Table):
    """Whoever holds the link may look at one object, with an account or without."""

    __tablename__ = "links"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)  # what it is withdrawn by
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(128), index=True)
    created: Mapped[float]
    expires: Mapped[float | None]
    by: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
