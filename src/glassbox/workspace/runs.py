"""The runs of a workspace: each one execution of one stage, in `runs/<run id>/`."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.artifact import Artifact
from glassbox.workspace.attempt import Attempt
from glassbox.workspace.code_version import code_version
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.names import check_name, shown
from glassbox.workspace.run import CHECKPOINTS_FOLDER, RECORD_FILE, STATE_FILE, Origin, Run, RunRecord, RunState
from glassbox.workspace.saved_steps import bytes_below
from glassbox.workspace.states import HELD_BY_A_PROCESS, RESUMABLE
from glassbox.workspace.transitions import cancel_unheld
from glassbox.workspace.unfinished import UnfinishedFolders

if TYPE_CHECKING:
    from glassbox.workspace.database import Database
    from glassbox.workspace.run_index import RunEntry, RunIndex

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that are read as one another
_ID_LETTERS = 6
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}", re.ASCII)


class Runs:
    """Creates, finds, starts, and deletes."""

    def __init__(self, folder: Path, unfinished: UnfinishedFolders, index: RunIndex, database: Database) -> None:
        self.folder = folder
        self._unfinished = unfinished
        self._index = index
        self._database = database

    def create(
        self, stage: str, *, name: str, settings: Mapping[str, JsonValue], inputs: Mapping[str, Artifact]
    ) -> Run:
        """A new run, queued. Raises BadInput for a name that cannot be one, or if the disk refuses."""
        while True:
            record = self.describe(stage, name=name, settings=settings, inputs=inputs)
            with contextlib.suppress(FileExistsError):
                return self.publish(record)

    def describe(
        self,
        stage: str,
        *,
        name: str,
        settings: Mapping[str, JsonValue],
        inputs: Mapping[str, Artifact],
        origin: Origin | None = None,
    ) -> RunRecord:
        """What a new run would be, with an id of its own; nothing is written. Raises BadInput for the name."""
        return RunRecord(
            id=f"{stage}-{''.join(secrets.choice(_LETTERS) for _ in range(_ID_LETTERS))}",
            stage=stage,
            name=check_name(name),
            settings=dict(settings),
            inputs={slot: artifact.link for slot, artifact in inputs.items()},
            created=datetime.now(UTC),
            code=code_version(),
            origin=origin,
        )

    def publish(self, record: RunRecord, checkpoints: Mapping[str, Path] | None = None) -> Run:
        """Make the run that was described, queued, whole or not at all.

        checkpoints: what its first attempt goes on from: copies of these files and folders, by name. Raises
        FileExistsError if it is there already, BadInput if the disk refuses.
        """
        target, status = self.folder / record.id, RunState()
        with disk_faults_as_bad_input(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self._unfinished.create()
            files = self._unfinished.files(place)
            files.mkdir()
            try:
                atomic.write_file(files / RECORD_FILE, record.model_dump_json(indent=2).encode())
                atomic.write_file(files / STATE_FILE, status.model_dump_json(indent=2).encode())
                for name, source in (checkpoints or {}).items():
                    _copy(source, files / CHECKPOINTS_FOLDER / name)
                atomic.rename_folder(files, target)
            except FileExistsError as error:
                raise FileExistsError(f"there is a run {record.id} already") from error  # no fault of the disk
            finally:
                self._unfinished.remove(place)
        return Run(target, record, status)

    def begin(self, run: Run, number: int | None = None) -> Attempt:
        """Start it in this process, as its next attempt. number: which one that must be.

        Raises BadInput if it is held already, is final, or its next attempt has another number.
        """
        return Attempt(run.folder, self._database, number)

    def cancel(self, run_id: str) -> Run:
        """End a run for good that waits or was interrupted.

        Raises BadInput while a process holds it (`attempt_requests` asks that one), and if it is over.
        """
        folder = self.folder_of(run_id)
        cancel_unheld(folder, self._database)
        return Run.read(folder)

    def folder_with(self, run_id: str) -> Path | None:
        """Where the run with exactly that id lies, damaged or not; None if there is none."""
        folder = self.folder / run_id
        return folder if _ID.fullmatch(run_id) and folder.is_dir() else None

    def folder_of(self, run_id: str) -> Path:
        """Where a run lies, damaged or not; the beginning of its id is enough if no other begins so.

        Raises BadInput if there is none, or more than one.
        """
        if folder := self.folder_with(run_id):
            return folder  # no look at all the others
        try:
            ids = [entry.name for entry in self.folder.iterdir() if entry.is_dir()]
        except FileNotFoundError:
            ids = []
        found = [run_id] if run_id in ids else sorted(one for one in ids if run_id and one.startswith(run_id))
        if len(found) == 1:
            return self.folder / found[0]
        if not found:
            raise BadInput(f"There is no run called {shown(run_id)}.", "See what there is: glassbox runs list.")
        some = ", ".join(found[:4]) + (", …" if len(found) > 4 else "")
        raise BadInput(f"{len(found)} runs begin with {shown(run_id)}: {some}.", "Give more of the id.")

    def get(self, run_id: str) -> Run:
        """The run with that id, or the only one whose id begins so. Raises BadInput if there isn't exactly one."""
        return Run.read(self.folder_of(run_id))

    def list(self, stage: str | None = None) -> list[RunEntry]:
        """What there is, newest first; damaged ones carry a `problem`."""
        return self._index.entries(stage)

    def readers_of(self, artifact: Artifact) -> list[RunEntry]:
        """The runs that take this artifact, newest first."""
        return self._index.readers_of(artifact.id)

    def delete(self, run_id: str) -> None:
        """Delete a run with its events and checkpoints, not what it made. Raises BadInput while it is at work."""
        folder = self.folder_of(run_id)
        try:
            state = Run.read(folder).state
        except BadInput:
            state = None  # damaged: nobody can be at work on it
        if state in HELD_BY_A_PROCESS:
            raise BadInput(f"The run {folder.name} is {state}.", "Stop it first, then delete it.")
        self._remove(folder)

    def delete_checkpoints(self, run_id: str, *, force: bool = False) -> int:
        """Delete what a run would be resumed from, and say how many bytes that was.

        Raises BadInput while it is at work, and, unless forced, if it could still be resumed.
        """
        run = self.get(run_id)
        if run.state in HELD_BY_A_PROCESS:
            raise BadInput(f"The run {run.id} is {run.state}.", "Stop it first, then delete its checkpoints.")
        if run.state in RESUMABLE and not force:
            raise BadInput(
                f"The run {run.id} is {run.state} and could go on from its checkpoints.",
                "Say --force to delete them: then it would begin anew.",
            )
        freed = bytes_below(run.checkpoints)
        self._remove(run.checkpoints)
        return freed

    def _remove(self, folder: Path) -> None:
        """Take it away by a rename first, so that a kill leaves nothing half deleted."""
        with disk_faults_as_bad_input(self.folder):
            place = self._unfinished.create()
            try:
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    atomic.rename_folder(folder, self._unfinished.files(place))
            finally:
                self._unfinished.remove(place)


def _copy(source: Path, target: Path) -> None:
    """A file or a folder of files, onto the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
    for path in (*target.rglob("*"), target):
        atomic.sync(path)
