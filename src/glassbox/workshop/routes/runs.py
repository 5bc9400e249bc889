"""Runs: the list, everything about one, what it printed, and deleting it."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from glassbox.errors import BadInput
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.jobs.attempt_process import output_file
from glassbox.workshop.jobs.states import ShownState, is_live
from glassbox.workshop.paging import Cursor, Limit, page
from glassbox.workshop.problems import Conflict, NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.routes.run_descriptions import Lines, RunDetails, RunId, RunPage, details
from glassbox.workshop.state import CurrentWorkshop

router = Router(tags=["Runs"])
_ENDING = 5.0  # seconds that a process has for its last words, before a request about its run gives up


class Log(BaseModel):
    """What the processes of an attempt printed, and the traceback of a fault."""

    attempt: int
    output: str = Field(description="Its end; what isn't text is shown as �.")
    output_bytes: int = Field(description="How much is kept in all.")
    traceback: str | None = Field(description="Its end; null if there was no fault.")


class Freed(BaseModel):
    """What deleting made free."""

    bytes: int


@router.get("/api/runs", summary="List runs")
@allows("member")
def list_runs(
    seen: Seen,
    workshop: CurrentWorkshop,
    stage: Annotated[str | None, Query(max_length=40, examples=["pretrain"])] = None,
    state: Annotated[list[ShownState] | None, Query(max_length=20, description="Only those in one of them.")] = None,
    owner: Annotated[str | None, Query(max_length=64, description="The name of whom they belong to.")] = None,
    text: Annotated[str | None, Query(max_length=100, description="In the id, the stage or the name.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> RunPage:
    """What you may see, newest first, page by page."""
    entries = seen.runs(stage)
    if text:
        wanted = text.lower()
        entries = [entry for entry in entries if wanted in f"{entry.id} {entry.stage} {entry.name}".lower()]
    if state is not None or owner is not None:
        lines = Lines(workshop, seen, entries)
        entries = [entry for entry in entries if state is None or lines.state(entry) in state]
        entries = [entry for entry in entries if owner is None or lines.owner(entry) == owner.lower()]
    given, following = page(entries, lambda entry: (entry.created.timestamp(), entry.id), cursor, limit)
    lines = Lines(workshop, seen, given)
    return RunPage(runs=[lines.summary(entry) for entry in given], next=following)


@router.get("/api/runs/{run_id}", summary="Everything about a run")
@allows("member")
def get_run(run_id: RunId, seen: Seen, workshop: CurrentWorkshop) -> RunDetails:
    """Its saved settings, how it goes and why, what it took and made, and what can be asked of it now."""
    return details(workshop, seen, run_id)


@router.get("/api/runs/{run_id}/log", summary="What a run printed")
@allows("member")
def get_run_log(
    run_id: RunId,
    seen: Seen,
    attempt: Annotated[int | None, Query(ge=1, le=10**9, description="Which attempt; none takes the newest.")] = None,
    most: Annotated[int, Query(ge=1, le=2**20, description="At most so many bytes, from its end.")] = 65_536,
) -> Log:
    """The end of what the processes of one attempt printed, errors too."""
    run = seen.run(run_id)
    number = run.status.attempt if attempt is None else attempt
    if attempt is not None and attempt > run.status.attempt:
        raise NotFound("attempt", str(attempt), f"The run has had {run.status.attempt}.")
    output, size = _end(output_file(run.folder, number), most)
    traceback, traced = _end(run.folder / f"traceback-{number}.txt", most)
    return Log(attempt=number, output=output, output_bytes=size, traceback=traceback if traced else None)


@router.delete("/api/runs/{run_id}", summary="Delete a run", status_code=204)
@allows("member")
def delete_run(run_id: RunId, seen: Seen, workshop: CurrentWorkshop) -> None:
    """With its events and checkpoints; what it made stays. Not while it waits or is at work: cancel it first."""
    seen.own_run(run_id)
    _refuse_if_live(workshop, run_id, "Cancel it first, then delete it.")
    try:
        workshop.workspace.runs.delete(run_id)
    except BadInput as error:
        raise Conflict(error.problem, error.remedy) from error
    workshop.executor.queue.forget(run_id, state="ended")
    seen.forget("run", run_id)


@router.delete("/api/runs/{run_id}/checkpoints", summary="Delete a run's checkpoints")
@allows("member")
def delete_run_checkpoints(
    run_id: RunId,
    seen: Seen,
    workshop: CurrentWorkshop,
    even_if_needed: Annotated[bool, Query(description="Also of a run that could go on from them.")] = False,
) -> Freed:
    """Then it can be neither resumed nor forked from a step; its result and its events stay."""
    seen.own_run(run_id)
    _refuse_if_live(workshop, run_id, "Cancel it first, then delete its checkpoints.")
    try:
        return Freed(bytes=workshop.workspace.runs.delete_checkpoints(run_id, force=even_if_needed))
    except BadInput as error:
        remedy = error.remedy.replace("Say --force to delete them", "Say even_if_needed=true to delete them")
        raise Conflict(error.problem, remedy) from error


def _refuse_if_live(workshop: CurrentWorkshop, run_id: str, remedy: str) -> None:
    check = workshop.executor.settled(run_id, _ENDING)
    if is_live(check.job):
        raise Conflict(f"The run {run_id} is {check.state}.", remedy)


def _end(file: os.PathLike[str], most: int) -> tuple[str, int]:
    """The last bytes of a file as text, and its size; nothing of one that isn't there."""
    try:
        with open(file, "rb") as stream:  # noqa: PTH123  (a path or none)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - most))
            return stream.read(most).decode("utf-8", "replace"), size
    except FileNotFoundError:
        return "", 0
