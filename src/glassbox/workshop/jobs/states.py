"""What a person sees of a run, from its folder and its place in the queue: the one place where the two come together.

The folder says how the run goes; it alone decides between finished, failed, cancelled and interrupted, and nothing here
can say otherwise. The job (`JobRow`) says what the workshop is doing about it:

    new      asked for; its folder may not be there yet
    waiting  in line for what it takes
    started  an attempt was ordered, and is looked after until its processes are gone
    ended    nothing is left to do; its folder is finished, failed, cancelled or interrupted
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from glassbox.workshop.database.tables import JobRow
    from glassbox.workspace.states import State

JobState = Literal["new", "waiting", "started", "ended"]
Wanted = Literal["run", "pause", "cancel"]
ShownState = Literal["waiting", "starting", "running", "paused", "finished", "failed", "cancelled", "interrupted"]
Action = Literal["pause", "resume", "cancel", "priority", "retry", "fork", "delete"]

AT_REST: frozenset[ShownState] = frozenset({"finished", "failed", "cancelled", "interrupted"})
"""Nothing happens to it any more unless a person asks for it."""

POSSIBLE: dict[ShownState, tuple[Action, ...]] = {
    "waiting": ("pause", "cancel", "priority"),
    "starting": ("pause", "cancel", "priority"),
    "running": ("pause", "cancel", "priority", "fork"),
    "paused": ("resume", "cancel", "priority", "fork"),
    "interrupted": ("resume", "cancel", "retry", "fork", "delete"),
    "failed": ("resume", "retry", "fork", "delete"),
    "finished": ("retry", "fork", "delete"),
    "cancelled": ("retry", "fork", "delete"),
}
"""What a person may ask for in which state."""


def is_live(job: JobRow | None) -> bool:
    """Does the workshop still look after it?"""
    return job is not None and job.state != "ended"


def shown_state(state: State, attempt: int, job: JobRow | None) -> ShownState:
    """state, attempt: what the folder says in truth (`Run.state`), and how many attempts have begun."""
    if state in ("finished", "cancelled", "running", "paused"):
        return state
    if job is None or job.state == "ended":
        return "waiting" if state == "queued" else state
    if job.state == "started":
        if attempt < ordered_attempt(job):
            return "starting"
        return "starting" if state == "queued" else state
    return "paused" if job.wanted == "pause" else "waiting"


def ordered_attempt(job: JobRow) -> int:
    """The number of the attempt that a started job was ordered as."""
    from glassbox.workshop.jobs.launchers.interface import AttemptOrder

    return AttemptOrder.model_validate_json(job.order or "").attempt


def told(shown: ShownState, job: JobRow | None, waits_for: str | None) -> str | None:
    """Why it is as it is, where that isn't plain. waits_for: what the line says (`slots.allot`)."""
    if job is None or job.state == "ended":
        by_itself = "Nobody looks after it; resume it." if shown == "waiting" else None
        return by_itself if job is None else job.note or by_itself
    if job.wanted == "cancel" and shown not in AT_REST:
        return "It will be cancelled as soon as its process has heard of it."
    if shown == "paused" and job.wanted == "run":
        return waits_for or "It goes on in a moment."
    if shown in ("starting", "running") and job.wanted == "pause":
        return "It will pause after what it is doing just now."
    if shown == "waiting":
        reason = waits_for or "It will start in a moment."
        return f"{job.note} {reason}" if job.note else reason
    return job.note
