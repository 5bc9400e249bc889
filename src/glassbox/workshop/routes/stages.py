"""What can be done: every stage with its settings, checked and started. All of it comes from the stages' own files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import BaseModel, Field

from glassbox.errors import BadInput
from glassbox.stages.interface import Slot, Stage
from glassbox.stages.registry import load_stage, stages
from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.preparing import Prepared, StartRequest, prepare, prepared
from glassbox.workshop.jobs.submission import Asked, new_job
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.routes.run_actions import IdempotencyKey, start_once
from glassbox.workshop.routes.run_descriptions import RunDetails
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.uploads.places import ClientPlaces

router = Router(tags=["Stages"])

StageName = Annotated[str, Path(max_length=40, description="The stage's name.", examples=["pretrain"])]


class StageLine(BaseModel):
    """One thing that can be done."""

    name: str = Field(examples=["pretrain"])
    summary: str = Field(examples=["Train a language model from nothing on shards of token ids."])


class StageList(BaseModel):
    """In the order in which data goes through them; those that aren't on that way follow by name."""

    stages: list[StageLine]


class SlotDetails(BaseModel):
    """A place for one artifact."""

    kind: str = Field(examples=["shards"])
    description: str
    required: bool


class StageDetails(StageLine):
    """One stage; `settings` is a JSON Schema with descriptions, defaults and bounds, in the order of a form."""

    description: str
    takes: dict[str, SlotDetails]
    makes: dict[str, SlotDetails]
    settings: dict[str, Any]
    parallel: bool = Field(description="Whether several processes can share the work.")
    may_differ: list[str] = Field(description="Settings that a fork from a checkpoint may choose anew.")


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Empty for the request as a whole.", examples=["settings.steps"])
    problem: str
    remedy: str | None


class Takes(BaseModel):
    """What a run takes of its machine."""

    threads: int
    memory: int = Field(description="Bytes.")
    gpus: int


class Validation(BaseModel):
    """What is wrong with a request; or what it comes to."""

    errors: list[FieldError]
    inputs: dict[str, str] | None = Field(description="By slot, the versions that it would take.")
    choices: list[str] | None = Field(description="A sentence for each input that nobody named.")
    name: str | None = Field(description="What its outputs would be called.")
    takes: Takes | None = Field(description="What it would take, as far as that can be told now.")


@router.get("/api/stages", summary="List what can be done")
@allows("member")
def list_stages() -> StageList:
    """Every stage by its name and one sentence."""
    return StageList(stages=[StageLine(name=stage.name, summary=stage.summary) for stage in stages()])


@router.get("/api/stages/{stage}", summary="Everything about a stage")
@allows("member")
def get_stage(stage: StageName) -> StageDetails:
    """Its settings, and the artifacts that it takes and makes."""
    found = _stage(stage)
    return StageDetails(
        name=found.name,
        summary=found.summary,
        description=found.description,
        takes={name: _slot(slot) for name, slot in found.takes.items()},
        makes={name: _slot(slot) for name, slot in found.makes.items()},
        settings=found.settings.model_json_schema(),
        parallel=found.parallel,
        may_differ=sorted(found.may_differ),
    )


@router.post("/api/stages/{stage}/validate", summary="Check what a run would be started with")
@allows("member", noted=False)
def validate_run(stage: StageName, request: StartRequest, seen: Seen, workshop: CurrentWorkshop) -> Validation:
    """Everything that is wrong at once; or the inputs, the name and the needs that the run would have."""
    places = ClientPlaces(seen, workshop.uploads)
    outcome = prepare(_stage(stage), request, seen, places, workshop.executor.slots)
    if not isinstance(outcome, Prepared):
        errors = [FieldError(field=one.field, problem=one.problem, remedy=one.remedy) for one in outcome]
        return Validation(errors=errors, inputs=None, choices=None, name=None, takes=None)
    takes = outcome.takes
    return Validation(
        errors=[],
        inputs={slot: artifact.reference for slot, artifact in outcome.inputs.artifacts.items()},
        choices=list(outcome.inputs.choices),
        name=outcome.name,
        takes=Takes(threads=takes.threads, memory=takes.memory, gpus=takes.gpus),
    )


@router.post("/api/stages/{stage}/runs", summary="Start a run", status_code=201)
@allows("member")
def start_run(
    stage: StageName,
    request: StartRequest,
    seen: Seen,
    workshop: CurrentWorkshop,
    actor: CurrentActor,
    response: Response,
    key: IdempotencyKey = None,
) -> RunDetails:
    """It waits until what it takes is free. Send an Idempotency-Key, and a double click starts one run."""
    found = _stage(stage)

    def start(asked: Asked) -> JobRow:
        ready = prepared(found, request, seen, ClientPlaces(seen, workshop.uploads), workshop.executor.slots)
        record = workshop.workspace.runs.describe(
            found.name,
            name=ready.name,
            settings=ready.settings.model_dump(mode="json"),
            inputs=ready.inputs.artifacts,
        )
        return new_job(record, ready.takes, request, asked)

    body = {"start": found.name, **request.model_dump(mode="json")}
    return start_once(workshop, seen, Asked(actor.id, key, body), start, response)


def _stage(name: str) -> Stage:
    try:
        return load_stage(name)
    except BadInput as error:
        raise NotFound("stage", name, error.remedy) from error


def _slot(slot: Slot) -> SlotDetails:
    return SlotDetails(kind=slot.kind, description=slot.description, required=slot.required)
