"""Where artifacts come from and what became of them, and the cards of models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query, Response
from pydantic import BaseModel, Field, JsonValue

from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.registry.cards import model_card
from glassbox.workshop.registry.lineage import ArtifactNode, Presence, RunNode, lineage_graph
from glassbox.workshop.router import Router
from glassbox.workshop.routes.artifacts import ArtifactId

router = Router(tags=["Artifacts"])


class LineageArtifact(BaseModel):
    """An artifact in the graph."""

    id: str
    kind: str = Field(examples=["corpus"])
    reference: str = Field(examples=["shakespeare:1"])
    presence: Presence = Field(description="hidden: it is somebody else's, and only its name is known.")
    created: float | None = Field(description="Seconds since 1970.")
    bytes: int | None


class LineageRun(BaseModel):
    """A run in the graph; all but its id is null where it was deleted or is somebody else's."""

    id: str = Field(examples=["pretrain-k3fm7q"])
    stage: str | None = Field(examples=["pretrain"])
    name: str | None
    state: str | None = Field(examples=["finished"])
    created: float | None
    code: str | None = Field(
        description="The version of the code that it was asked of: release and hash of the source.",
        examples=["0.1.0+3f9a1c2b7d4e"],
    )


class LineageEdge(BaseModel):
    """From what was there first to what came of it; both are ids of the graph."""

    source: str
    target: str
    role: str | None = Field(description="The slot that the run takes or makes it in.", examples=["shards"])


class LineageView(BaseModel):
    """A graph without circles: artifacts, the runs between them, and what went into what."""

    artifacts: list[LineageArtifact]
    runs: list[LineageRun]
    edges: list[LineageEdge]
    cut: bool = Field(description="There is more of it than is shown.")


class MakingView(BaseModel):
    """The run that made it."""

    run: str = Field(examples=["pretrain-k3fm7q"])
    stage: str
    code: str | None
    settings: dict[str, JsonValue]
    result: dict[str, JsonValue] | None
    attempts: int
    seconds: float | None = Field(description="Of its last attempt.")


class SourceView(BaseModel):
    """Something that it was made from, directly or not."""

    kind: str
    reference: str
    facts: dict[str, JsonValue]


class MeasurementView(BaseModel):
    """A report on it."""

    reference: str
    created: float
    facts: dict[str, JsonValue]


class ModelCardView(BaseModel):
    """What is known of a model; `markdown` is the same to read."""

    reference: str
    kind: str
    hash: str
    created: float
    bytes: int
    note: str
    facts: dict[str, JsonValue]
    description: dict[str, JsonValue] | None = Field(description="The model's description, as in its spec.json.")
    making: MakingView | None
    sources: list[SourceView]
    measurements: list[MeasurementView] = Field(description="The newest 20 reports on it.")
    markdown: str


@router.get("/api/artifacts/{artifact_id}/lineage", summary="Where it comes from, what became of it")
@allows("member")
def get_lineage(artifact_id: ArtifactId, seen: Seen) -> LineageView:
    """Its ancestors and descendants with the runs between them.

    Of what it was made from, the names are shown even where it is somebody else's; what was made from it only as far
    as you may see it.
    """
    graph = lineage_graph(seen, seen.by_id(artifact_id))
    return LineageView(
        artifacts=[_artifact(node) for node in graph.artifacts.values()],
        runs=[_run(node) for node in graph.runs.values()],
        edges=[LineageEdge.model_validate(edge, from_attributes=True) for edge in graph.edges.values()],
        cut=graph.cut,
    )


@router.get(
    "/api/artifacts/{artifact_id}/card",
    summary="A model's card",
    response_model=ModelCardView,
    responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
@allows("member")
def get_model_card(
    artifact_id: ArtifactId,
    seen: Seen,
    form: Annotated[Literal["json", "markdown"], Query(description="markdown: the text alone.")] = "json",
) -> ModelCardView | Response:
    """What it is, what it learned from, how it was made, how it measures up: as recorded, with nothing invented."""
    card = model_card(seen, seen.by_id(artifact_id))
    if form == "markdown":
        return Response(card.markdown(), media_type="text/markdown; charset=utf-8")
    making = card.making
    return ModelCardView(
        reference=card.reference,
        kind=card.kind,
        hash=card.hash,
        created=card.created.timestamp(),
        bytes=card.bytes,
        note=card.note,
        facts=dict(card.facts),
        description=None if card.spec is None else card.spec.model_dump(mode="json"),
        making=None if making is None else MakingView.model_validate(making, from_attributes=True),
        sources=[SourceView.model_validate(source, from_attributes=True) for source in card.sources],
        measurements=[
            MeasurementView(reference=one.reference, created=one.created.timestamp(), facts=dict(one.facts))
            for one in card.measurements
        ],
        markdown=card.markdown(),
    )


def _artifact(node: ArtifactNode) -> LineageArtifact:
    return LineageArtifact(
        id=node.id,
        kind=node.kind,
        reference=node.reference,
        presence=node.presence,
        created=_moment(node.created),
        bytes=node.bytes,
    )


def _run(node: RunNode) -> LineageRun:
    return LineageRun(
        id=node.id,
        stage=node.stage,
        name=node.name,
        state=node.state,
        created=_moment(node.created),
        code=node.code,
    )


def _moment(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
