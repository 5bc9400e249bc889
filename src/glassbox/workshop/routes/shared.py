"""What whoever holds a link may look at: a run's facts and curves, or an artifact's facts. Nothing that leads further.

Settings aren't told, because they may hold texts and paths; of what an artifact says about itself, only numbers are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, Field

from glassbox.errors import BadInput
from glassbox.workshop.access.guards import allows
from glassbox.workshop.accounts.links import Link
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.routes.live import Curves, curve_points
from glassbox.workshop.state import CurrentWorkshop, Workshop
from glassbox.workspace import Artifact, Run
from glassbox.workspace.curves import thinned
from glassbox.workspace.states import State

router = Router(tags=["Sharing"], prefix="/shared/{secret}")

_POINTS = 1000  # of each curve

Secret = Annotated[str, Path(max_length=100, description="What the link ends with.")]


class SharedRun(BaseModel):
    """A run, to whoever holds its link."""

    kind: Literal["run"]
    id: str = Field(examples=["pretrain-k7xq2m"])
    stage: str = Field(examples=["pretrain"])
    name: str = Field(description="What it makes is called so.", examples=["tiny-shakespeare"])
    state: State
    created: datetime
    started: datetime | None
    ended: datetime | None
    outputs: dict[str, str] = Field(description="What it made.", examples=[{"model": "tiny-shakespeare:1"}])


class SharedArtifact(BaseModel):
    """An artifact, to whoever holds its link."""

    kind: Literal["artifact"]
    id: str = Field(examples=["0c5e2a7be2d34a77"])
    artifact_kind: str = Field(examples=["model"])
    reference: str = Field(examples=["tiny-shakespeare:1"])
    created: datetime
    bytes: int
    hash: str = Field(description="SHA-256 over every file's path and content.")
    facts: dict[str, float] = Field(description="Its numbers.", examples=[{"documents": 120}])


@router.get("", summary="Look at what a link leads to")
@allows("everyone")
def get_shared(secret: Secret, workshop: CurrentWorkshop) -> SharedRun | SharedArtifact:
    """A run or an artifact; no account is needed."""
    link = _followed(workshop, secret)
    if link.kind == "artifact":
        return _artifact(workshop, link)
    run = _run(workshop, link)
    return SharedRun(
        kind="run",
        id=run.id,
        stage=run.record.stage,
        name=run.record.name,
        state=run.state,
        created=run.record.created,
        started=run.status.started,
        ended=run.status.ended,
        outputs={slot: output.reference for slot, output in run.status.outputs.items()},
    )


@router.get("/curves", summary="Look at the curves of a shared run")
@allows("everyone")
def get_shared_curves(secret: Secret, workshop: CurrentWorkshop) -> Curves:
    """Every metric of the run that the link leads to; none for an artifact."""
    link = _followed(workshop, secret)
    found = workshop.run_curves.of(_run(workshop, link).folder) if link.kind == "run" else {}
    return Curves(curves={name: curve_points(thinned(curve, _POINTS), len(curve)) for name, curve in found.items()})


def _followed(workshop: Workshop, secret: str) -> Link:
    link = workshop.links.follow(secret)
    if link is None:
        raise _leads_nowhere()
    return link


def _run(workshop: Workshop, link: Link) -> Run:
    try:
        return workshop.workspace.runs.get(link.subject)
    except BadInput as error:
        raise _leads_nowhere() from error


def _artifact(workshop: Workshop, link: Link) -> SharedArtifact:
    entry = next((one for one in workshop.workspace.artifacts.list() if one.id == link.subject), None)
    if entry is None:
        raise _leads_nowhere()
    manifest = Artifact.read(entry.folder).manifest
    return SharedArtifact(
        kind="artifact",
        id=manifest.id,
        artifact_kind=manifest.kind,
        reference=entry.reference,
        created=manifest.created,
        bytes=manifest.bytes,
        hash=manifest.hash,
        facts={name: value for name, value in manifest.facts.items() if isinstance(value, int | float)},
    )


def _leads_nowhere() -> NotFound:
    return NotFound("link", "that you followed", "It was withdrawn or is too old: ask whoever gave it to you.")
