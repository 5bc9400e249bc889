"""Bringing the tables up to date when the workshop starts: Alembic's migrations, or nothing where nothing is due."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from glassbox.errors import BadInput

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def newest() -> str:
    """The revision that this program's tables have: migrations are files named by their number."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def upgrade(engine: Engine) -> None:
    """Run the migrations that the database lacks. Of several processes that do so at once, one does.

    Raises BadInput if the database was written by a newer Glassbox.
    """
    with engine.connect() as connection:
        if _revision(connection) == newest():
            return
    with engine.execution_options(writing=True).begin() as connection:
        revision = _revision(connection)
        if revision is not None and revision > newest():
            raise BadInput(
                f"The workshop's database was written by a newer Glassbox (revision {revision} instead of {newest()}).",
                "Upgrade with `pip install --upgrade glassbox-llm`, or choose another workspace or database.",
            )
        if revision != newest():
            from alembic import command  # half a second to import, and needed once

            command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """What Alembic's commands work with: our migrations, on this connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
