"""What is told of runs: a line of the list, and everything about one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field, JsonValue

from glassbox.workshop.jobs.executor import Check
from glassbox.workshop.jobs.states import POSSIBLE, Action, ShownState, is_live, shown_state
from glassbox.workshop.registry.settings_shown import settings_shown
from glassbox.workshop.state import Workshop
from glassbox.workshop.uploads.places import ClientPlaces
from glassbox.workshop.visible import Visible
from glassbox.workspace.manifest import ArtifactLink
from glassbox.workspace.run import Problem
from glassbox.workspace.run_index import RunEntry
from glassbox.workspace.saved_steps import weighed_steps

RunId = Annotated[str, Path(max_length=100, description="The run's whole id.", examples=["pretrain-k3fm7q"])]


class RunSummary(BaseModel):
    """One run. A damaged one has a `problem` and no state."""

    id: str = Field(examples=["pretrain-k3fm7q"])
    stage: str = Field(examples=["pretrain"])
    name: str = Field(description="What its outputs are called.", examples=["shakespeare"])
    state: ShownState | None = Field(examples=["running"])
    attempt: int = Field(description="How often it was begun.", examples=[1])
    created: float = Field(description="Seconds since 1970.", examples=[1795284000.0])
    owner: str | None = Field(description="The name of whom it belongs to; none: the command line.", examples=["ada"])
    problem: str | None = Field(description="What is damaged about it.")


class RunPage(BaseModel):
    """Some runs, newest first."""

    runs: list[RunSummary]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


class ArtifactOfRun(BaseModel):
    """An artifact that a run took or made; it may be deleted by now."""

    id: str
    kind: str = Field(examples=["shards"])
    reference: str = Field(examples=["shakespeare:3"])


class RunProblem(BaseModel):
    """Why it failed. Without a remedy it is a fault of ours, and the log has its traceback."""

    problem: str
    remedy: str | None


class SavedCheckpoint(BaseModel):
    """What a run can go on from, or be forked from."""

    step: int
    bytes: int


class AttemptOfRun(BaseModel):
    """One time that it was begun."""

    number: int
    has_log: bool = Field(description="Whether its processes printed something that was kept.")
    has_traceback: bool


class InQueue(BaseModel):
    """How the workshop looks after it."""

    position: int | None = Field(description="1 is the next one; null if it isn't in line.")
    priority: int
    launcher: str = Field(examples=["local"])
    processes: int
    threads: int = Field(description="CPU threads that it takes.")
    memory: int = Field(description="Bytes that it takes.")
    gpus: int
    kills: int = Field(description="How often it was killed since it last saved a checkpoint.")
    retries: int = Field(description="How many of those it goes on after by itself.")


class RunOrigin(BaseModel):
    """The run that it was made from, and the checkpoint; no step: from its beginning."""

    run: str
    step: int | None


class RunDetails(RunSummary):
    """Everything about a run: the settings are those that it was started with."""

    why: str | None = Field(description="Why it is as it is, where that isn't plain, such as what it waits for.")
    possible: list[Action] = Field(description="What can be asked of it now.", examples=[["pause", "cancel"]])
    mine: bool = Field(description="Whether you may change it.")
    settings: dict[str, JsonValue] = Field(description="Empty where this version doesn't know them any more.")
    inputs: dict[str, ArtifactOfRun] = Field(description="By slot.")
    outputs: dict[str, ArtifactOfRun] = Field(description="By slot, as far as they are made.")
    result: dict[str, JsonValue] | None
    failure: RunProblem | None
    started: float | None = Field(description="When its newest attempt began.")
    ended: float | None
    attempts: list[AttemptOfRun]
    checkpoints: list[SavedCheckpoint] = Field(description="Oldest first.")
    origin: RunOrigin | None
    code: str | None = Field(description="The version of the code that was asked.")
    queue: InQueue | None = Field(description="Null for runs of the command line.")


class Lines:
    """The lines of the list: what the folders don't say is asked once for all of them."""

    def __init__(self, workshop: Workshop, seen: Visible, entries: list[RunEntry]) -> None:
        self._live = {job.run: job for job in workshop.executor.queue.live()}
        self._owners = seen.owners_of("run", [entry.id for entry in entries])
        self._names = workshop.users.names()

    def state(self, entry: RunEntry) -> ShownState | None:
        return None if entry.state is None else shown_state(entry.state, entry.attempt, self._live.get(entry.id))

    def owner(self, entry: RunEntry) -> str | None:
        return self._names.get(self._owners.get(entry.id, ""))

    def summary(self, entry: RunEntry) -> RunSummary:
        return RunSummary(
            id=entry.id,
            stage=entry.stage,
            name=entry.name,
            state=self.state(entry),
            attempt=entry.attempt,
            created=entry.created.timestamp(),
            owner=self.owner(entry),
            problem=entry.problem,
        )


def possible(check: Check) -> tuple[Action, ...]:
    """What can be asked of a run now."""
    if not is_live(check.job):
        if check.state in ("running", "paused", "starting"):
            return ()  # it is someone's at the command line
        if check.state == "waiting":
            return ("resume", "cancel")
    return POSSIBLE[check.state]


def details(workshop: Workshop, seen: Visible, run_id: str) -> RunDetails:
    """Everything about a run that this person sees. Raises NotFound."""
    check = workshop.executor.check_of(seen.run(run_id))
    record, status, folder = check.run.record, check.run.status, check.run.folder
    owner = seen.owner_of("run", run_id)
    person = None if owner is None else workshop.users.get(owner)
    problem, job = status.problem, check.job
    return RunDetails(
        id=record.id,
        stage=record.stage,
        name=record.name,
        state=check.state,
        attempt=status.attempt,
        created=record.created.timestamp(),
        owner=None if person is None else person.name,
        problem=None,
        why=check.why,
        possible=list(possible(check)),
        mine=seen.actor.is_at_least("owner") or owner == seen.actor.id,
        settings=settings_shown(record.stage, record.settings, ClientPlaces(seen, workshop.uploads)),
        inputs=_links(record.inputs),
        outputs=_links(status.outputs),
        result=status.result,
        failure=None if problem is None else _failure(workshop, problem),
        started=None if status.started is None else status.started.timestamp(),
        ended=None if status.ended is None else status.ended.timestamp(),
        attempts=[
            AttemptOfRun(
                number=number,
                has_log=(folder / f"output-{number}.log").exists(),
                has_traceback=(folder / f"traceback-{number}.txt").exists(),
            )
            for number in range(1, status.attempt + 1)
        ],
        checkpoints=[SavedCheckpoint(step=one.step, bytes=one.bytes) for one in weighed_steps(check.run.checkpoints)],
        origin=None if record.origin is None else RunOrigin(run=record.origin.run, step=record.origin.step),
        code=record.code,
        queue=None
        if job is None
        else InQueue(
            position=check.position,
            priority=job.priority,
            launcher=job.launcher,
            processes=job.processes,
            threads=job.threads,
            memory=job.memory,
            gpus=job.gpus,
            kills=job.kills,
            retries=job.retries,
        ),
    )


def _links(links: dict[str, ArtifactLink]) -> dict[str, ArtifactOfRun]:
    return {slot: ArtifactOfRun(id=link.id, kind=link.kind, reference=link.reference) for slot, link in links.items()}


def _failure(workshop: Workshop, problem: Problem) -> RunProblem:
    """Where the workspace lies is nobody's business over HTTP."""
    sentence = problem.problem.replace(str(workshop.workspace.folder), "the workspace")
    return RunProblem(problem=sentence, remedy=problem.remedy)
