"""What can be asked of a run. What isn't possible in its state is answered 409, with what is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Response
from pydantic import Field, JsonValue

from glassbox.errors import BadInput
from glassbox.stages.interface import Stage
from glassbox.stages.registry import load_stage
from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.executor import Check
from glassbox.workshop.jobs.forking import forked
from glassbox.workshop.jobs.slots import Takes
from glassbox.workshop.jobs.states import AT_REST, Action, is_live
from glassbox.workshop.jobs.submission import Asked, Schedule, new_job, next_attempt_job, takes_of
from glassbox.workshop.problems import Conflict
from glassbox.workshop.router import Router
from glassbox.workshop.routes.run_descriptions import RunDetails, RunId, details, possible
from glassbox.workshop.state import CurrentWorkshop, Workshop
from glassbox.workshop.uploads.places import ClientPlaces
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact
from glassbox.workspace.run import Origin, RunRecord
from glassbox.workspace.saved_steps import saved_steps

router = Router(tags=["Runs"])
_ENDING = 5.0  # seconds that a process has for its last words, before a request about its run gives up

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=100,
        pattern=r"^[\x21-\x7e]+$",
        description="A second request with the same key answers with the run that the first one started.",
    ),
]


class Resume(Body):
    """Where it goes on from."""

    from_checkpoint: int | None = Field(
        default=None, ge=0, le=10**12, description="A step that it has a checkpoint of; none takes the newest."
    )


class Priority(Body):
    """When it has its turn."""

    priority: int = Field(ge=-1000, le=1000, description="Higher goes first.")


class Fork(Schedule):
    """A new run from this one."""

    from_checkpoint: int | None = Field(
        default=None, ge=0, le=10**12, description="The step that it goes on from; none begins anew."
    )
    settings: dict[Annotated[str, Field(max_length=100)], JsonValue] = Field(
        default={}, max_length=200, description="Settings that are to be different from this run's."
    )
    name: str | None = Field(default=None, max_length=80, description="What its outputs are called.")


@router.post("/api/runs/{run_id}/pause", summary="Pause a run")
@allows("member")
def pause_run(run_id: RunId, seen: Seen, workshop: CurrentWorkshop) -> RunDetails:
    """It stops after what it is doing just now, keeps its memory and gives its threads to others. Or it waits on."""
    check = _settled(workshop, seen, run_id)
    if not (check.state == "paused" and check.job is not None and check.job.wanted == "pause"):
        _require(check, "pause" if check.state != "paused" else "resume")
        if not workshop.executor.want(run_id, "pause"):
            raise _refused(workshop.executor.check(run_id))
    return details(workshop, seen, run_id)


@router.post("/api/runs/{run_id}/resume", summary="Let a run go on")
@allows("member")
def resume_run(run_id: RunId, asked: Resume, seen: Seen, workshop: CurrentWorkshop, actor: CurrentActor) -> RunDetails:
    """One that is paused, or another attempt at one that failed or was interrupted. Nothing to do if it goes on."""
    check = _settled(workshop, seen, run_id)
    goes_on = check.state in ("waiting", "starting", "running") and is_live(check.job)
    if goes_on and asked.from_checkpoint is None:
        if check.job is not None and check.job.wanted == "pause":
            workshop.executor.want(run_id, "run")
        return details(workshop, seen, run_id)
    _require(check, "resume")
    if is_live(check.job):
        if asked.from_checkpoint is not None:
            raise Conflict(f"The run {run_id} is paused: it goes on from where it is.", "Leave from_checkpoint out.")
        if not workshop.executor.want(run_id, "run"):
            raise _refused(workshop.executor.check(run_id))
    else:
        _check_step(check, asked.from_checkpoint)
        workshop.executor.submit_again(_next_attempt(workshop, check, actor.id, asked.from_checkpoint))
    return details(workshop, seen, run_id)


@router.post("/api/runs/{run_id}/cancel", summary="Give a run up for good")
@allows("member")
def cancel_run(run_id: RunId, seen: Seen, workshop: CurrentWorkshop) -> RunDetails:
    """It saves what it has, and ends. It can't be resumed; it can be forked from its checkpoints."""
    check = _settled(workshop, seen, run_id)
    if check.state != "cancelled":
        _require(check, "cancel")
        try:
            workshop.executor.cancel(run_id)
        except BadInput as error:
            raise _refused(workshop.executor.check(run_id)) from error
    return details(workshop, seen, run_id)


@router.put("/api/runs/{run_id}/priority", summary="Change when a run has its turn")
@allows("member")
def prioritize_run(run_id: RunId, asked: Priority, seen: Seen, workshop: CurrentWorkshop) -> RunDetails:
    """Higher goes first, and among equals who waited longest. What is at work isn't stopped for it."""
    _require(_settled(workshop, seen, run_id), "priority")
    if not workshop.executor.queue.prioritize(run_id, asked.priority):
        raise _refused(workshop.executor.check(run_id))
    return details(workshop, seen, run_id)


@router.post("/api/runs/{run_id}/retry", summary="Do the same again as a new run", status_code=201)
@allows("member")
def retry_run(
    run_id: RunId,
    seen: Seen,
    workshop: CurrentWorkshop,
    actor: CurrentActor,
    response: Response,
    key: IdempotencyKey = None,
) -> RunDetails:
    """From its beginning, with the same settings and inputs. To go on where it stopped, resume it."""
    check = _settled(workshop, seen, run_id)

    def start(asked: Asked) -> JobRow:
        _require(check, "retry")
        schedule = _schedule(check.job)
        return _again(workshop, seen, check, {}, None, None, schedule, asked)

    return start_once(workshop, seen, Asked(actor.id, key, {"retry": run_id}), start, response)


@router.post("/api/runs/{run_id}/fork", summary="Start a new run from a checkpoint", status_code=201)
@allows("member")
def fork_run(
    run_id: RunId,
    fork: Fork,
    seen: Seen,
    workshop: CurrentWorkshop,
    actor: CurrentActor,
    response: Response,
    key: IdempotencyKey = None,
) -> RunDetails:
    """With settings of its own where that keeps its meaning; where it came from is recorded in both."""
    seen.run(run_id)
    check = workshop.executor.settled(run_id, 0.0)

    def start(asked: Asked) -> JobRow:
        if fork.from_checkpoint is not None:
            _check_step(check, fork.from_checkpoint)
        return _again(workshop, seen, check, fork.settings, fork.name, fork.from_checkpoint, fork, asked)

    body = {"fork": run_id, **fork.model_dump(mode="json")}
    return start_once(workshop, seen, Asked(actor.id, key, body), start, response)


def start_once(
    workshop: Workshop, seen: Visible, asked: Asked, start: Callable[[Asked], JobRow], response: Response
) -> RunDetails:
    """Start what was asked for, unless the same key started it before. Raises Conflict if it started something else."""
    job = workshop.executor.queue.by_key(asked.user, asked.key) if asked.key is not None else None
    if job is None:
        job = workshop.executor.submit(start(asked))
    else:
        workshop.executor.settle(job.run)  # a server that was killed may have left it without its folder
    if job.asked != asked.hash:
        raise Conflict(f"The key {asked.key!r} was used for something else: it started {job.run}.", "Send another key.")
    response.headers["Location"] = f"/api/runs/{job.run}"
    return details(workshop, seen, job.run)


def _again(
    workshop: Workshop,
    seen: Visible,
    check: Check,
    changes: dict[str, Any],
    name: str | None,
    step: int | None,
    schedule: Schedule,
    asked: Asked,
) -> JobRow:
    """A new run from an earlier one. Raises BadInput if an input is gone, or a change would mean something else."""
    run = check.run
    stage = load_stage(run.record.stage)
    places = ClientPlaces(seen, workshop.uploads)
    settings = forked(stage, run.record.settings, changes, places, going_on=step is not None)
    inputs = _inputs(seen, run.record)
    takes = takes_of(stage, settings, inputs, schedule, workshop.executor.slots)
    record = workshop.workspace.runs.describe(
        stage.name,
        name=name or run.record.name,
        settings=settings.model_dump(mode="json"),
        inputs=inputs,
        origin=Origin(run=run.id, step=step),
    )
    return new_job(record, takes, schedule, asked)


def _next_attempt(workshop: Workshop, check: Check, user: str, from_checkpoint: int | None) -> JobRow:
    job, record = check.job, check.run.record
    schedule = _schedule(job)
    if job is not None:
        takes = Takes(job.threads, job.memory, job.gpus)
        workshop.executor.slots.check_fits(takes)
    else:
        stage: Stage = load_stage(record.stage)
        found = {slot: workshop.workspace.artifacts.find(link) for slot, link in record.inputs.items()}
        inputs = {slot: artifact for slot, artifact in found.items() if artifact is not None}
        settings = stage.settings.model_validate(record.settings)
        takes = takes_of(stage, settings, inputs, schedule, workshop.executor.slots)
    return next_attempt_job(check.run, takes, schedule, Asked(user), from_checkpoint)


def _schedule(job: JobRow | None) -> Schedule:
    """As it was scheduled before."""
    if job is None:
        return Schedule()
    resources = {"threads": job.threads, "memory": job.memory, "gpus": job.gpus}
    fields = {"priority": job.priority, "launcher": job.launcher, "processes": job.processes, "retries": job.retries}
    return Schedule.model_validate({**fields, "resources": resources})


def _inputs(seen: Visible, record: RunRecord) -> dict[str, Artifact]:
    inputs: dict[str, Artifact] = {}
    for slot, link in record.inputs.items():
        artifact = seen.find(link)
        if artifact is None:
            raise BadInput(
                f"The {link} that {record.id} took is deleted, or isn't yours to see.", "Start a run with other inputs."
            )
        inputs[slot] = artifact
    return inputs


def _settled(workshop: Workshop, seen: Visible, run_id: str) -> Check:
    """How a run of one's own is, after all that is due was done about it."""
    seen.own_run(run_id)
    check = workshop.executor.settled(run_id, _ENDING)
    if check.state in AT_REST and is_live(check.job):
        raise Conflict(f"The run {run_id} is {check.state}, and its process hasn't ended yet.", "Try again in a while.")
    return check


def _require(check: Check, action: Action) -> None:
    if action not in possible(check):
        raise _refused(check)


def _refused(check: Check) -> Conflict:
    actions = possible(check)
    if not actions:
        return Conflict(
            f"The run {check.run.id} is {check.state}, by someone at the command line.", "Ask them to end it there."
        )
    return Conflict(f"The run {check.run.id} is {check.state}.", f"Possible now: {', '.join(actions)}.")


def _check_step(check: Check, step: int | None) -> None:
    steps = saved_steps(check.run.checkpoints)
    if step is not None and step not in steps:
        raise BadInput(
            f"The run {check.run.id} has no checkpoint of step {step:,}.",
            f"Those there: {', '.join(map(str, steps))}." if steps else "It has none at all.",
        )
