"""From a job's row to its folder: once, however often it is tried, and by whomever."""

from __future__ import annotations

import contextlib
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workshop.database.tables import JobRow
from glassbox.workspace import Run, Workspace
from glassbox.workspace.run import Origin, RunRecord
from glassbox.workspace.saved_steps import saved_steps, step_folder


class OriginGone(BadInput):
    """What the run was to go on from isn't there any more."""


def publish(workspace: Workspace, job: JobRow) -> None:
    """Make the folder that the row describes, unless it is there.

    Raises OriginGone, and BadInput if the disk refuses.
    """
    record = RunRecord.model_validate_json(job.record)
    if (workspace.runs.folder / record.id).is_dir():
        return
    copied = None if record.origin is None else checkpoint_of(workspace, record.origin)
    with contextlib.suppress(FileExistsError):
        workspace.runs.publish(record, copied)


def checkpoint_of(workspace: Workspace, origin: Origin) -> dict[str, Path] | None:
    """The files and folders, by name, that a run needs to go on from the checkpoint of another run.

    That checkpoint, and what lies beside the checkpoints: what the other run had decided before its first step. Raises
    OriginGone if it is.
    """
    if origin.step is None:
        return None
    try:
        run = Run.read(workspace.runs.folder / origin.run)
    except BadInput as error:
        raise OriginGone(error.problem, error.remedy) from error
    if origin.step not in (steps := saved_steps(run.checkpoints)):
        raise OriginGone(
            f"The run {origin.run} has no checkpoint of step {origin.step:,}.",
            f"Those there: {', '.join(map(str, steps))}." if steps else "It has none at all.",
        )
    step = step_folder(run.checkpoints, origin.step)
    beside = [path for path in run.checkpoints.iterdir() if path.is_file() and not path.name.startswith(".")]
    return {path.name: path for path in (step, *beside)}
