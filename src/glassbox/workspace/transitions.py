"""Changing the state of a run: forward only, by one process at a time, in one atomic write.

The database's write lock keeps other processes out between reading the state and replacing it; the state itself is in
the folder, so that losing the database loses nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.events import EVENTS_FILE, EventLog
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.processes import Process
from glassbox.workspace.run import STATE_FILE, RunState, read_state, true_state
from glassbox.workspace.states import HELD_BY_A_PROCESS, NEXT, State

if TYPE_CHECKING:
    from glassbox.workspace.database import Database


def begin_attempt(folder: Path, database: Database, number: int | None = None) -> RunState:
    """Make this process the holder of a run. number: which attempt it must be.

    Raises BadInput if another process holds the run, if it is over for good, or if the next attempt has another number.
    """
    with database.writing(), disk_faults_as_bad_input(folder):
        before = read_state(folder)
        state = true_state(folder, before)
        if state in HELD_BY_A_PROCESS:
            process = before.process
            where = f" by process {process.pid} on {process.place.split()[0]}" if process else ""
            raise BadInput(
                f"The run {folder.name} is {state} already{where}.",
                f"Watch it with: glassbox runs follow {folder.name}.",
            )
        if "running" not in NEXT[state]:
            raise BadInput(
                f"The run {folder.name} is {state}, which is final.",
                "Start a new run; only failed and interrupted ones can be resumed.",
            )
        if number not in (None, before.attempt + 1):
            raise BadInput(
                f"The next attempt at the run {folder.name} is number {before.attempt + 1}, not {number}.",
                f"See what became of it: glassbox runs show {folder.name}.",
            )
        changes: dict[str, Any] = {"started": datetime.now(UTC), "ended": None, "result": None, "problem": None}
        changes |= {"state": "running", "attempt": before.attempt + 1, "process": Process.current()}
        return _write(folder, before, changes)


def cancel_unheld(folder: Path, database: Database) -> RunState:
    """End a run for good that no process holds.

    Raises BadInput while one does (ask it: `attempt_requests`), and if the run is over.
    """
    with database.writing(), disk_faults_as_bad_input(folder):
        before = read_state(folder)
        state = true_state(folder, before)
        if state in HELD_BY_A_PROCESS:
            raise BadInput(f"The run {folder.name} is {state}.", "Ask the process that holds it to give it up.")
        if "cancelled" not in NEXT[state]:
            raise BadInput(f"The run {folder.name} is {state}, and can't be cancelled any more.", "Leave it as it is.")
        after = _write(folder, before, {"state": "cancelled", "ended": datetime.now(UTC)})
        with contextlib.suppress(BadInput):  # the state stands, even if the disk has no room left for the event
            log = EventLog(folder / EVENTS_FILE, before.attempt)  # its only writer: no attempt can begin any more
            log.append("state", sync=True, state="cancelled")
            log.close()
        return after


def change_attempt(
    folder: Path, database: Database, attempt: int, *, state: State | None = None, **changes: Any
) -> RunState:
    """Change something about the attempt that this process holds.

    Raises BadInput if another process has taken the run over meanwhile, ValueError for a step that doesn't exist.
    """
    with database.writing(), disk_faults_as_bad_input(folder):
        before = read_state(folder)
        if before.attempt != attempt or before.process is None or before.process.is_alive() is False:
            raise BadInput(
                f"The run {folder.name} was taken over by attempt {before.attempt} while attempt {attempt} was silent.",
                f"Watch it with: glassbox runs follow {folder.name}.",
            )
        if state is not None:
            if state not in NEXT[before.state]:
                raise ValueError(f"a run that is {before.state} cannot become {state}")
            changes["state"] = state
            if state not in HELD_BY_A_PROCESS:
                changes["ended"] = datetime.now(UTC)
        return _write(folder, before, changes)


def _write(folder: Path, before: RunState, changes: Mapping[str, Any]) -> RunState:
    after = before.model_copy(update=changes)
    atomic.write_file(folder / STATE_FILE, after.model_dump_json(indent=2).encode())
    return after
