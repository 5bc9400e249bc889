"""Served models: deploy one under a public name, watch it, put another version in its place, go back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from glassbox.serving.protocol.health import Health
from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.gateway.deployments import KIND, Deployment, Setup
from glassbox.workshop.gateway.keeper import State
from glassbox.workshop.gateway.target import Engine
from glassbox.workshop.problems import Conflict
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop, Workshop
from glassbox.workshop.visible import Visible
from glassbox.workspace.names import check_name

router = Router(prefix="/api/deployments", tags=["Served models"])

Name = Annotated[str, Path(alias="deployment", max_length=80, description="The public name.", examples=["tutor"])]
ModelReference = Annotated[
    str, Field(min_length=1, max_length=100, description="A model: name:version, or name for its newest.")
]


class NewDeployment(Body):
    """A model, and how its process runs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "quickstart", "name": "tutor", "rows": 16}]})

    model: ModelReference
    name: str | None = Field(
        None, max_length=80, description="What requests call it; the model's own name if left out."
    )
    engine: Engine = Field("glassbox", description="glassbox: our own. vllm: where it is installed, for large models.")
    rows: int = Field(16, ge=1, le=1024, description="Answers that are written side by side.")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; left out, what there is.")
    memory: int | None = Field(None, ge=1 << 20, le=1 << 50, description="Bytes; a process that holds more is ended.")
    unload_after: int | None = Field(
        1800,
        ge=10,
        le=31_536_000,
        description="Seconds without a request until it sleeps; null: never, and from start on.",
    )


class NewVersion(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "quickstart:2"}]})

    model: ModelReference


class Rollback(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 1}]})

    version: int | None = Field(None, ge=1, le=1_000_000_000, description="Left out: the one before.")


class VersionFacts(BaseModel):
    number: int = Field(examples=[2])
    model: str = Field(examples=["quickstart:2"])
    created: float
    problem: str | None = Field(description="Why it did not come to answer.")


class Load(BaseModel):
    """Of the process that answers."""

    in_flight: int = Field(description="Requests that are being answered.")
    rows: int | None = Field(description="Answers that can be written side by side.")
    busy: int | None = Field(description="Answers that are being written.")
    waiting: int | None = Field(description="Prompts that have no row yet.")


class DeploymentFacts(BaseModel):
    name: str = Field(description="What requests call it.", examples=["tutor"])
    model: str = Field(description="The model that answers.", examples=["quickstart:1"])
    version: int = Field(description="Which of the versions that is.", examples=[1])
    coming: int | None = Field(description="The version that is being started.")
    state: State = Field(
        description="asleep: the next request starts it. failed: only a person can help; `note` says how."
    )
    since: float = Field(description="When that state began.")
    note: str | None = Field(description="Why, where that isn't plain.")
    engine: Engine
    rows: int
    threads: int | None
    memory: int | None
    unload_after: int | None
    starts: int = Field(description="Processes that were started since the workshop was.")
    load: Load | None = Field(description="While it answers.")
    versions: list[VersionFacts] = Field(description="The newest first.")
    created: float
    owner: str | None = Field(description="The id of the person whom it belongs to.")
    mine: bool = Field(description="May you change it?")
    shared: bool = Field(description="Does everyone with an account see it?")


class LogTail(BaseModel):
    lines: list[str] = Field(description="What its process wrote last.")


@router.get("", summary="List served models")
@allows("member")
def list_deployments(workshop: CurrentWorkshop, seen: Seen) -> list[DeploymentFacts]:
    """Those that you deployed, and those that are shared with everyone, by name."""
    found = workshop.gateway.deployments.seen_by(seen)
    owners = seen.owners_of(KIND, [one.id for one in found])
    shared = workshop.gateway.deployments.shared()
    return [_facts(workshop, seen, one, owners.get(one.id), one.id in shared) for one in found]


@router.post("", summary="Deploy a model", status_code=201)
@allows("member")
def deploy_model(
    asked: NewDeployment, workshop: CurrentWorkshop, seen: Seen, actor: CurrentActor, response: Response
) -> DeploymentFacts:
    """Starts its process at once, so that it is soon known whether it can be served; watch `state`."""
    model = seen.get("model", asked.model)
    name = check_name(asked.name if asked.name is not None else model.name)
    setup = Setup(asked.engine, asked.rows, asked.threads, asked.memory, asked.unload_after)
    deployment = workshop.gateway.deploy(actor.id, name, model, setup)
    response.headers["Location"] = f"/api/deployments/{name}"
    return _told(workshop, seen, deployment)


@router.get("/{deployment}", summary="Look at a served model")
@allows("member")
def get_deployment(name: Name, workshop: CurrentWorkshop, seen: Seen) -> DeploymentFacts:
    """How it is, what it runs on, and its versions."""
    return _told(workshop, seen, workshop.gateway.deployments.named(name, seen))


@router.get("/{deployment}/log", summary="Read what its process wrote last")
@allows("member")
def get_deployment_log(name: Name, workshop: CurrentWorkshop, seen: Seen) -> LogTail:
    """At most 200 lines, for those who may change it; kept while the workshop runs."""
    deployment = workshop.gateway.deployments.own(name, seen)
    return LogTail(lines=workshop.gateway.condition(deployment).lines)


@router.post("/{deployment}/start", summary="Start a served model")
@allows("member")
def start_deployment(name: Name, workshop: CurrentWorkshop, seen: Seen) -> DeploymentFacts:
    """Of one that was stopped, sleeps or has failed. Nothing if it answers."""
    return _told(workshop, seen, workshop.gateway.go_on(workshop.gateway.deployments.own(name, seen)))


@router.post("/{deployment}/stop", summary="Stop a served model")
@allows("member")
def stop_deployment(name: Name, workshop: CurrentWorkshop, seen: Seen) -> DeploymentFacts:
    """Answers that are being given have some seconds. It stays stopped until it is started."""
    return _told(workshop, seen, workshop.gateway.halt(workshop.gateway.deployments.own(name, seen)))


@router.post("/{deployment}/versions", summary="Serve another model under the same name", status_code=202)
@allows("member")
def update_deployment(
    name: Name, asked: NewVersion, workshop: CurrentWorkshop, seen: Seen, actor: CurrentActor
) -> DeploymentFacts:
    """The new one is started beside the old one, and takes its place when it answers; if it never does, the old one
    goes on."""
    deployment = workshop.gateway.deployments.own(name, seen)
    model = seen.get("model", asked.model)
    return _told(workshop, seen, workshop.gateway.update(deployment, model, actor.id))


@router.post("/{deployment}/rollback", summary="Go back to an earlier version", status_code=202)
@allows("member")
def roll_back_deployment(name: Name, asked: Rollback, workshop: CurrentWorkshop, seen: Seen) -> DeploymentFacts:
    """It takes the present one's place when it answers. Every version can be gone back to, and forward."""
    deployment = workshop.gateway.deployments.own(name, seen)
    number = asked.version or deployment.version - 1
    if number < 1:
        raise Conflict(f"Version {deployment.version} of {name} is its first.", "There is nothing to go back to.")
    return _told(workshop, seen, workshop.gateway.change_version(deployment, number))


@router.put("/{deployment}/share", summary="Let everyone ask a served model", status_code=204)
@allows("member")
def share_deployment(name: Name, workshop: CurrentWorkshop, seen: Seen) -> None:
    """Everyone who has an account sees it, and may ask it; only you change it."""
    seen.share(KIND, workshop.gateway.deployments.own(name, seen).id)


@router.delete("/{deployment}/share", summary="Keep a served model to yourself", status_code=204)
@allows("member")
def unshare_deployment(name: Name, workshop: CurrentWorkshop, seen: Seen) -> None:
    """Others see it no more."""
    seen.unshare(KIND, workshop.gateway.deployments.own(name, seen).id)


@router.delete("/{deployment}", summary="Delete a served model", status_code=204)
@allows("member")
def delete_deployment(name: Name, workshop: CurrentWorkshop, seen: Seen) -> None:
    """Ends its process and frees its name. The model itself stays, and so does the record of what was used."""
    workshop.gateway.delete(workshop.gateway.deployments.own(name, seen))


def _told(workshop: Workshop, seen: Visible, deployment: Deployment) -> DeploymentFacts:
    return _facts(workshop, seen, deployment, seen.owner_of(KIND, deployment.id), seen.is_shared(KIND, deployment.id))


def _facts(
    workshop: Workshop, seen: Visible, deployment: Deployment, owner: str | None, shared: bool
) -> DeploymentFacts:
    condition, setup = workshop.gateway.condition(deployment), deployment.setup
    version = deployment.current if condition.version is None else deployment.at(condition.version)
    return DeploymentFacts(
        name=deployment.name,
        model=version.model,
        version=version.number,
        coming=condition.coming,
        state=condition.state,
        since=condition.since,
        note=condition.note,
        engine=setup.engine,
        rows=setup.rows,
        threads=setup.threads,
        memory=setup.memory,
        unload_after=setup.unload_after,
        starts=condition.starts,
        load=_load(condition.in_flight, condition.health) if condition.state == "ready" else None,
        versions=[
            VersionFacts(number=one.number, model=one.model, created=one.created, problem=one.problem)
            for one in deployment.versions
        ],
        created=deployment.created,
        owner=owner,
        mine=owner == seen.actor.id or seen.actor.is_at_least("owner"),
        shared=shared,
    )


def _load(in_flight: int, health: Health | None) -> Load:
    if health is None:
        return Load(in_flight=in_flight, rows=None, busy=None, waiting=None)
    return Load(in_flight=in_flight, rows=health.rows, busy=health.busy, waiting=health.waiting)
