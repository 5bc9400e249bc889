"""What a folder can't say: people, sessions, who owns what, the queue, usage. SQLite, or PostgreSQL by one setting."""

from glassbox.workshop.database.database import Database

__all__ = ["Database"]
