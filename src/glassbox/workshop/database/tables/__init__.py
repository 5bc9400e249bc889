"""The tables. Times are seconds since 1970, in UTC. A change here comes with a migration; a test compares the two."""

from glassbox.workshop.database.tables.accounts import (
    ApiKeyRow,
    AuditRow,
    LoginAttemptRow,
    OneTimeTokenRow,
    SessionRow,
    UserRow,
)
from glassbox.workshop.database.tables.base import Table
from glassbox.workshop.database.tables.jobs import JobRow
from glassbox.workshop.database.tables.sharing import LinkRow, OwnerRow, ShareRow

__all__ = [
    "ApiKeyRow",
    "AuditRow",
    "JobRow",
    "LinkRow",
    "LoginAttemptRow",
    "OneTimeTokenRow",
    "OwnerRow",
    "SessionRow",
    "ShareRow",
    "Table",
    "UserRow",
]
