"""The program that a launcher starts: one attempt at a run, from its queue or its last checkpoint to whatever end.

    python -m glassbox.workshop.jobs.attempt_process RUN --workspace FOLDER --attempt NUMBER

How it went stands in the run's folder, and the exit code is a hint at it (`ExitCode`). SIGTERM, and a request in the
run's folder, make it save and stop. What it prints goes to `output-NUMBER.log` there, of which the end is kept.

Where RANK and WORLD_SIZE are set, as torchrun does, it is one of several processes that share the work: the one of
rank 0 holds the run and the others follow it (docs/parallel.md). Then every orderly end has the code 0, because
torchrun takes any other for an accident.
"""

from __future__ import annotations

import argparse
import enum
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from glassbox.errors import BadInput

if TYPE_CHECKING:
    from glassbox.workspace import Workspace

MODULE = "glassbox.workshop.jobs.attempt_process"


class ExitCode(enum.IntEnum):
    """How the process ended."""

    FINISHED = 0
    FAULT = 1  # a fault of ours: the run has failed, and its folder keeps a traceback
    FAILED = 2  # by something that a person can mend
    NOT_BEGUN = 3  # another process holds the run, it is over, or it has had this attempt; nothing was done
    INTERRUPTED = 4  # as it was asked to; the run can be resumed
    CANCELLED = 5  # as it was asked to


def output_file(run_folder: Path, attempt: int) -> Path:
    """What the processes of an attempt print, errors too."""
    return run_folder / f"output-{attempt}.log"


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=MODULE)
    parser.add_argument("run")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--from-checkpoint", type=int)
    chosen = parser.parse_args(given)

    from glassbox.workshop.jobs.output_limit import OutputLimit
    from glassbox.workspace import Workspace

    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    try:
        workspace = Workspace(chosen.workspace)
        folder = workspace.runs.folder_of(chosen.run)
    except BadInput as error:
        print(error, file=sys.stderr)
        return ExitCode.NOT_BEGUN
    with OutputLimit(output_file(folder, chosen.attempt)):
        if rank > 0:
            return _follow(workspace, chosen.run, rank, world_size, chosen.from_checkpoint)
        code = _hold(workspace, chosen.run, chosen.attempt, world_size, chosen.from_checkpoint)
    orderly = code in (ExitCode.INTERRUPTED, ExitCode.CANCELLED)
    return ExitCode.FINISHED if world_size > 1 and orderly else code


def _hold(workspace: Workspace, run: str, attempt: int, world_size: int, from_checkpoint: int | None) -> int:
    """Be the process that holds the run."""
    from glassbox.stages.execution import StageFault, resume

    try:
        outcome = resume(workspace, run, from_checkpoint=from_checkpoint, attempt=attempt, world_size=world_size)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except StageFault as fault:
        print(fault.trace.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
        return ExitCode.FAULT
    except BadInput as error:
        print(error, file=sys.stderr)
        return _failed(workspace, run, attempt, error)
    return {"cancelled": ExitCode.CANCELLED, "interrupted": ExitCode.INTERRUPTED}.get(
        outcome.run.state, ExitCode.FINISHED
    )


def _failed(workspace: Workspace, run_id: str, attempt: int, error: BadInput) -> ExitCode:
    """Nobody reads what this process says: a run that can't even begin must say so in its folder."""
    from glassbox.workspace.run import Problem

    try:
        run = workspace.runs.get(run_id)
        holder = run.status.process
        if run.status.attempt == attempt and holder is not None and holder.pid == os.getpid():
            return ExitCode.FAILED  # it has said so itself
        workspace.runs.begin(run, attempt).end("failed", problem=Problem(problem=error.problem, remedy=error.remedy))
    except BadInput:
        return ExitCode.NOT_BEGUN
    return ExitCode.FAILED


def _follow(workspace: Workspace, run: str, rank: int, world_size: int, from_checkpoint: int | None) -> int:
    """Be one of the processes that share the work of the one that holds the run."""
    from glassbox.stages.execution import follow

    try:
        follow(workspace, run, rank=rank, world_size=world_size, from_checkpoint=from_checkpoint)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BadInput as error:
        print(f"Process {rank}: {error}", file=sys.stderr)
        return ExitCode.FAILED
    except Exception:
        traceback.print_exc()
        return ExitCode.FAULT
    return ExitCode.FINISHED


if __name__ == "__main__":
    sys.exit(main())
