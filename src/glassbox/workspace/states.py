"""The states of a run, and the only ways from one to another. Nothing ever leaves `finished` or `cancelled`."""

from __future__ import annotations

from typing import Literal

State = Literal["queued", "running", "paused", "finished", "failed", "cancelled", "interrupted"]

NEXT: dict[State, frozenset[State]] = {
    "queued": frozenset({"running", "cancelled"}),
    "running": frozenset({"paused", "finished", "failed", "cancelled", "interrupted"}),
    "paused": frozenset({"running", "failed", "cancelled", "interrupted"}),
    "failed": frozenset({"running"}),  # as the next attempt
    "interrupted": frozenset({"running", "cancelled"}),  # as the next attempt; or nobody wants it any more
    "finished": frozenset(),
    "cancelled": frozenset(),
}

HELD_BY_A_PROCESS: frozenset[State] = frozenset({"running", "paused"})
"""Only while a process is at work; if it is gone, the run is in truth interrupted."""

FINAL: frozenset[State] = frozenset(state for state, following in NEXT.items() if not following)
"""Nothing will ever happen to such a run again."""

RESUMABLE: frozenset[State] = frozenset({"failed", "interrupted"})
"""May run again, as the next attempt of the same run."""
