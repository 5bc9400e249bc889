"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

Role = Literal["member", "educator", "owner"]
"""member: their own things, and what is shared. educator: may look at everyone's. owner: may do everything."""

Scope = Literal["workshop", "models"]
"""workshop: everything that the person may do. models: only talk to the served models (/v1)."""

RANK: dict[Role, int] = {"member": 0, "educator": 1, "owner": 2}


def role_of(text: str) -> Role:
    """What the database holds as text."""
    return cast("Role", text)


@dataclass(frozen=True)
class Actor:
    """A person, as known from a session or a key. `key` is the key's id if one was used, `session` the session's."""

    id: str
    name: str
    role: Role
    scope: Scope = "workshop"
    key: str | None = None
    session: str | None = None

    def is_at_least(self, role: Role) -> bool:
        return RANK[self.role] >= RANK[role]
