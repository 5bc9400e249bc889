"""Files that people brought. The bytes lie in the workspace's folder `uploads/`; here stands whose they are."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from glassbox.workshop.database.tables.base import Table


class UploadRow(Table):
    """A file on its way, or one that came whole."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    label: Mapped[str] = mapped_column(String(255))  # what its owner calls it; never a path
    content_type: Mapped[str] = mapped_column(String(100))  # as the client says
    length: Mapped[int] = mapped_column(BigInteger)  # bytes that it will have
    sha256: Mapped[str | None] = mapped_column(String(64))  # that its owner says it has
    state: Mapped[str] = mapped_column(String(16), index=True)  # receiving, checking, ready, refused
    file: Mapped[str | None] = mapped_column(String(100))  # its name in our folder, once it is whole
    created: Mapped[float]
    touched: Mapped[float]  # when bytes came last
    problem: Mapped[str | None] = mapped_column(Text)  # why it was refused, and what to do
    remedy: Mapped[str | None] = mapped_column(Text)
    inspection: Mapped[str | None] = mapped_column(Text)  # what is in it, as JSON
