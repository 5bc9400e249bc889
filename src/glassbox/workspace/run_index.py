"""Listing runs without opening thousands of files: the database, kept in step with the folder.

Before each answer every run's state file is looked at (not opened): rows whose stamp differs are read anew. Those of
runs that are over for good aren't looked at again as long as their folders are there: nothing changes them any more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Row, delete, select
from sqlalchemy.orm import Session

from glassbox.errors import BadInput
from glassbox.workspace.database import Database
from glassbox.workspace.run import STATE_FILE, Run, read_state, true_state
from glassbox.workspace.states import FINAL, HELD_BY_A_PROCESS, State
from glassbox.workspace.tables import RunInputRow, RunRow

_DAMAGED = "damaged"
_COLUMNS = (RunRow.id, RunRow.stage, RunRow.name, RunRow.state, RunRow.attempt, RunRow.created, RunRow.problem)


@dataclass(frozen=True)
class RunEntry:
    """What a listing says about a run. A damaged one has a `problem`, and no state. runs: the folder of all runs."""

    runs: Path
    id: str
    stage: str
    name: str
    state: State | None
    attempt: int
    created: datetime
    problem: str | None

    @property
    def folder(self) -> Path:
        return self.runs / self.id


class _Look(NamedTuple):
    """What one look at a run shows without opening anything: its folder's inode, and its state file's stamp."""

    folder: int
    stamp: str


@dataclass(frozen=True)
class _Answer:
    """The entries of all runs, newest first, what they are true of, and the part of that which never changes again."""

    entries: list[RunEntry]
    present: dict[str, _Look]
    over: dict[str, _Look]


class RunIndex:
    """Answers from the rows of the database."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database
        self._kept = _Answer([], {}, {})
        self._renewing = threading.Lock()

    def entries(self, stage: str | None = None) -> list[RunEntry]:
        """Newest first."""
        kept = self._kept
        if kept.present != self._present(kept.over):
            kept = self._renewed()
        return [self._now(entry) for entry in kept.entries if stage in (None, entry.stage)]

    def _renewed(self) -> _Answer:
        """What is true now. Of many who ask at the same moment one reads all rows, and the others wait for that: each
        on its own would keep the others waiting, who then find the rows out of date too."""
        with self._renewing:
            kept = self._kept
            present = self._present(kept.over)
            if kept.present != present:
                self._synchronise()
                query = select(*_COLUMNS).order_by(RunRow.created.desc(), RunRow.id)
                with self._database.reading() as session:
                    entries = [self._entry(row) for row in session.execute(query)]
                over = {one.id: present[one.id] for one in entries if one.state in FINAL and one.id in present}
                self._kept = kept = _Answer(entries, present, over)
            return kept

    def readers_of(self, artifact_id: str) -> list[RunEntry]:
        """The runs that have this artifact among their inputs, newest first."""
        self._synchronise()
        reading = select(RunInputRow.run).where(RunInputRow.artifact == artifact_id)
        with self._database.reading() as session:
            rows = session.execute(select(*_COLUMNS).where(RunRow.id.in_(reading)).order_by(RunRow.created.desc()))
            return [self._now(self._entry(row)) for row in rows]

    def _now(self, entry: RunEntry) -> RunEntry:
        """The same, interrupted if the process is gone that is said to be at work on it."""
        if entry.state not in HELD_BY_A_PROCESS:
            return entry
        try:
            return replace(entry, state=true_state(entry.folder, read_state(entry.folder)))
        except BadInput:
            return replace(entry, state="interrupted")  # deleted or damaged in this very moment

    def _entry(self, row: Row[str, str, str, str, int, float, str | None]) -> RunEntry:
        state: State | None = None if row.problem is not None else row.state
        return RunEntry(
            runs=self._folder,
            id=row.id,
            stage=row.stage,
            name=row.name,
            state=state,
            attempt=row.attempt,
            created=datetime.fromtimestamp(row.created, UTC),
            problem=row.problem,
        )

    def _synchronise(self) -> None:
        with self._database.reading() as session:
            before = _stamps(session)
        if before == self._present_stamps():
            return
        with self._database.writing() as session:
            known, present = _stamps(session), self._present_stamps()
            changed = [run for run, stamp in known.items() if present.get(run) != stamp]
            for run in changed:
                session.execute(delete(RunRow).where(RunRow.id == run))
            for run in present.keys() - (known.keys() - set(changed)):
                session.add(self._read(run, present[run]))

    def _present(self, over: Mapping[str, _Look]) -> dict[str, _Look]:
        """Each run by its id. over: what is known of those that don't change any more."""
        present: dict[str, _Look] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        look = over.get(entry.name)
                        if look is None or look.folder != entry.inode():
                            look = _Look(entry.inode(), _stamp(entry.path))
                        present[entry.name] = look
        except FileNotFoundError:
            return {}
        return present

    def _present_stamps(self) -> dict[str, str]:
        return {run: look.stamp for run, look in self._present({}).items()}

    def _read(self, run_id: str, stamp: str) -> RunRow:
        row = RunRow(id=run_id, stage="", name="", state=_DAMAGED, attempt=0, created=0.0, stamp=stamp)
        try:
            run = Run.read(self._folder / run_id)
        except BadInput as error:
            row.problem = error.problem
            return row
        row.stage, row.name, row.created = run.record.stage, run.record.name, run.record.created.timestamp()
        row.state, row.attempt = run.status.state, run.status.attempt
        row.inputs = [RunInputRow(artifact=artifact) for artifact in {link.id for link in run.record.inputs.values()}]
        return row


def _stamps(session: Session) -> dict[str, str]:
    return {row[0]: row[1] for row in session.execute(select(RunRow.id, RunRow.stamp))}


def _stamp(folder: str) -> str:
    try:
        status = os.stat(f"{folder}/{STATE_FILE}")  # noqa: PTH116  (thousands of `Path`s take longer than the disk)
    except OSError:
        return ""
    return f"{status.st_mtime_ns}-{status.st_ino}-{status.st_size}"
