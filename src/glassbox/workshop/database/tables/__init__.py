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
from glassbox.workshop.database.tables.gateway import (
    DeploymentRow,
    DeploymentVersionRow,
    LimitRow,
    ModelRequestRow,
    UsageDayRow,
)
from glassbox.workshop.database.tables.jobs import JobRow
from glassbox.workshop.database.tables.sharing import LinkRow, OwnerRow, ShareRow
from glassbox.workshop.database.tables.uploads import UploadRow

__all__ = [
    "ApiKeyRow",
    "AuditRow",
    "DeploymentRow",
    "DeploymentVersionRow",
    "JobRow",
    "LimitRow",
    "LinkRow",
    "LoginAttemptRow",
    "ModelRequestRow",
    "OneTimeTokenRow",
    "OwnerRow",
    "SessionRow",
    "ShareRow",
    "Table",
    "UploadRow",
    "UsageDayRow",
    "UserRow",
]
