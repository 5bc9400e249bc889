"""Executes a stage as a run: gives it its context, and records how it ended, whatever happens."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from glassbox.errors import BadInput
from glassbox.stages.context import RunContext
from glassbox.stages.following import FollowerContext
from glassbox.stages.interface import Stage, StageSettings, Watcher
from glassbox.stages.registry import load_stage
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Artifact, Run, Workspace
from glassbox.workspace.attempt import Attempt
from glassbox.workspace.faults import full_disk, is_full_disk
from glassbox.workspace.run import Problem
from glassbox.workspace.saved_steps import saved_steps
from glassbox.workspace.states import RESUMABLE, State
from glassbox.workspace.strict_json import to_json


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: finished, or interrupted because someone asked for it."""

    run: Run
    result: Mapping[str, object]
    outputs: Mapping[str, Artifact]


class StageFault(Exception):  # noqa: N818  (it isn't an error of the person's)
    """A stage raised what it shouldn't. The run is marked as failed; its folder keeps the traceback."""

    def __init__(self, run_id: str, error: Exception, trace: Path) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.run_id = run_id
        self.trace = trace


def execute(
    stage: Stage,
    settings: StageSettings,
    workspace: Workspace,
    inputs: Mapping[str, Artifact],
    *,
    name: str | None = None,
    watcher: Watcher | None = None,
    stop: StopRequest | None = None,
) -> Outcome:
    """Run a stage to its end. `name` is what its outputs are called.

    Raises BadInput for what a person can mend and StageFault for the rest; both leave a failed run that can be resumed.
    """
    if name is None:
        first = next(iter(inputs.values()), None)
        name = settings.name_after(first.name) if first else settings.default_name or stage.name
    run = workspace.runs.create(stage.name, name=name, settings=settings.model_dump(mode="json"), inputs=inputs)
    return _attempt(stage, settings, workspace, run, inputs, watcher, stop or StopRequest())


def resume(
    workspace: Workspace,
    run_id: str,
    *,
    from_checkpoint: int | None = None,
    watcher: Watcher | None = None,
    stop: StopRequest | None = None,
    attempt: int | None = None,
    world_size: int = 1,
) -> Outcome:
    """Run a failed or interrupted run again, as its next attempt, with the settings and inputs that it was given.

    from_checkpoint: the step whose checkpoint it goes on from; None takes the newest. attempt: which one this must be.
    world_size: processes that share the work; the others `follow`.

    Raises BadInput if it is at work or over for good, if it has no such checkpoint, if an input has been deleted, or if
    the next attempt has another number; else as `execute`.
    """
    run = workspace.runs.get(run_id)
    if run.state not in {*RESUMABLE, "queued"}:
        raise BadInput(
            f"The run {run.id} is {run.state}; only failed and interrupted runs can be resumed.",
            f"See it with: glassbox runs show {run.id}.",
        )
    if from_checkpoint is not None and from_checkpoint not in (steps := saved_steps(run.checkpoints)):
        raise BadInput(
            f"The run {run.id} has no checkpoint of step {from_checkpoint:,}.",
            f"Go on from one of: {', '.join(map(str, steps))}." if steps else "Leave --from-checkpoint out.",
        )
    stage, settings, inputs = _as_recorded(workspace, run)
    _refuse_several_processes(stage, world_size)
    return _attempt(
        stage,
        settings,
        workspace,
        run,
        inputs,
        watcher,
        stop or StopRequest(),
        from_checkpoint=from_checkpoint,
        number=attempt,
        world_size=world_size,
    )


def follow(
    workspace: Workspace, run_id: str, *, rank: int, world_size: int, from_checkpoint: int | None = None
) -> None:
    """Share the work of an attempt that another process holds, the one of rank 0, which calls `resume`.

    It decides everything: when to stop, and what is kept. Raises BadInput for what a person can mend.
    """
    run = workspace.runs.get(run_id)
    stage, settings, inputs = _as_recorded(workspace, run)
    _refuse_several_processes(stage, world_size)
    with StopRequest().listening():  # the leader stops for all; a second signal ends this process
        stage.run(settings, FollowerContext(run, inputs, rank, world_size, from_checkpoint))


def _refuse_several_processes(stage: Stage, world_size: int) -> None:
    if world_size > 1 and not stage.parallel:
        raise BadInput(
            f"The stage {stage.name} is the work of one process, not of {world_size}.", "Start it with one process."
        )


def _as_recorded(workspace: Workspace, run: Run) -> tuple[Stage, StageSettings, dict[str, Artifact]]:
    """A run's stage, settings and inputs. Raises BadInput where they are no more what they were."""
    stage = load_stage(run.record.stage)
    try:
        settings = stage.settings.model_validate(run.record.settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"The settings of {run.id} are from another version of Glassbox: {place}: {first['msg']}.",
            f"Start a new run: glassbox {stage.name}.",
        ) from error
    inputs: dict[str, Artifact] = {}
    for slot, link in run.record.inputs.items():
        artifact = workspace.artifacts.find(link)
        if artifact is None:
            raise BadInput(
                f"The {link} that {run.id} reads has been deleted.", f"Start a new run: glassbox {stage.name}."
            )
        inputs[slot] = artifact
    return stage, settings, inputs


def _attempt(
    stage: Stage,
    settings: StageSettings,
    workspace: Workspace,
    run: Run,
    inputs: Mapping[str, Artifact],
    watcher: Watcher | None,
    stop: StopRequest,
    *,
    from_checkpoint: int | None = None,
    number: int | None = None,
    world_size: int = 1,
) -> Outcome:
    attempt = workspace.runs.begin(run, number)
    context = RunContext(stage, workspace, run, attempt, inputs, stop, watcher, from_checkpoint, world_size)
    try:
        with stop.listening():
            result = stage.run(settings, context)
            to_json(result)  # a result that JSON cannot hold is a fault of the stage
            context.close()
            complete = all(slot in context.published for slot, made in stage.makes.items() if made.required)
            stopped = stop.made and not (complete and stage.makes)
            attempt.end(_when_stopped(attempt) if stopped else "finished", result=result)
    except KeyboardInterrupt:
        _end_if_possible(attempt, _when_stopped(attempt), None)
        raise
    except Exception as error:
        raise _failed(attempt, workspace, run, error) from error
    return Outcome(Run.read(run.folder), result, context.published)


def _when_stopped(attempt: Attempt) -> State:
    return "cancelled" if attempt.request == "cancel" else "interrupted"


def _failed(attempt: Attempt, workspace: Workspace, run: Run, error: Exception) -> BadInput | StageFault:
    """Record the failure, and give what is to be raised."""
    told = full_disk(workspace.folder) if is_full_disk(error) else error
    if isinstance(told, BadInput):
        _end_if_possible(attempt, "failed", Problem(problem=told.problem, remedy=told.remedy))
        return told
    trace = run.folder / f"traceback-{attempt.number}.txt"
    with contextlib.suppress(OSError):
        trace.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    _end_if_possible(attempt, "failed", Problem(problem=f"{type(error).__name__}: {error}", traceback=trace.name))
    return StageFault(run.id, error, trace)


def _end_if_possible(attempt: Attempt, state: State, problem: Problem | None) -> None:
    """Record the end. A full disk may refuse even that; once this process is gone, the run is seen as interrupted."""
    with contextlib.suppress(BadInput):
        attempt.end(state, problem=problem)
