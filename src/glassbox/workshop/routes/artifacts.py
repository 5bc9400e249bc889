"""The registry: artifacts by name and version, what is known about each, and deleting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, Field, JsonValue

from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.paging import Cursor, Limit, page
from glassbox.workshop.problems import Conflict, Forbidden
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.visible import Visible, check_kind
from glassbox.workspace import Artifact
from glassbox.workspace.artifact_index import ArtifactEntry
from glassbox.workspace.notes import LONGEST_NOTE, read_note, write_note

router = Router(tags=["Artifacts"])

ArtifactId = Annotated[str, Path(max_length=100, description="The artifact's id.", examples=["3f9a1c2b7d4e5a60"])]
_NEEDED_SHOWN = 5


class ArtifactSummary(BaseModel):
    """One version of a name. A damaged one has a `problem` instead of an id."""

    id: str | None = Field(examples=["3f9a1c2b7d4e5a60"])
    kind: str = Field(examples=["model"])
    name: str = Field(examples=["shakespeare"])
    version: int = Field(examples=[3])
    reference: str = Field(description="NAME:VERSION, unique within its kind.", examples=["shakespeare:3"])
    created: float = Field(description="Seconds since 1970.", examples=[1795284000.0])
    bytes: int = Field(examples=[43_512_880])
    run: str | None = Field(description="The run that made it.", examples=["pretrain-k3fm7q"])
    mine: bool = Field(description="Whether you may change it.")
    problem: str | None = Field(description="What is damaged about it.")


class ArtifactPage(BaseModel):
    """Some artifacts, newest first."""

    artifacts: list[ArtifactSummary]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


class Link(BaseModel):
    """An artifact as others point to it; it may be deleted by now."""

    id: str
    kind: str
    reference: str


class ArtifactFile(BaseModel):
    """One file of an artifact."""

    path: str = Field(examples=["tokenizer/tokenizer.json"])
    bytes: int = Field(examples=[21_034])
    sha256: str


class ArtifactDetails(ArtifactSummary):
    """All that an artifact says about itself, and the note that a person wrote about it."""

    hash: str = Field(description="SHA-256 over every file's path, size and content.")
    parents: list[Link] = Field(description="What it was made from.")
    facts: dict[str, JsonValue] = Field(
        description="What the stage that made it wrote down.", examples=[{"parameters": 10_788_929, "steps": 2000}]
    )
    files: list[ArtifactFile]
    note: str = Field(description="Markdown; empty if nobody wrote one.")


class Note(Body):
    """What a person writes about an artifact."""

    text: str = Field(max_length=LONGEST_NOTE, description="Markdown; blank takes the note away.")


class Verdict(BaseModel):
    """Whether the files are as they were published."""

    intact: bool
    differences: list[str] = Field(examples=[["model.safetensors has other content than when it was published"]])


@router.get("/api/artifacts", summary="List artifacts")
@allows("member")
def list_artifacts(
    seen: Seen,
    kind: Annotated[str | None, Query(max_length=40, examples=["model"])] = None,
    name: Annotated[str | None, Query(max_length=100, description="Exactly this name.")] = None,
    text: Annotated[str | None, Query(max_length=100, description="In the kind, the name or the run's id.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ArtifactPage:
    """What you may see, newest first, page by page."""
    entries = seen.artifacts(None if kind is None else check_kind(kind), name)
    if text:
        wanted = text.lower()
        entries = [one for one in entries if wanted in f"{one.kind} {one.reference} {one.run or ''}".lower()]
    given, following = page(entries, _key, cursor, limit)
    return ArtifactPage(artifacts=_summaries(seen, given), next=following)


@router.get("/api/artifacts/named/{kind}/{reference}", summary="One artifact by its name")
@allows("member")
def get_named_artifact(
    kind: Annotated[str, Path(max_length=40, examples=["model"])],
    reference: Annotated[str, Path(max_length=100, description="NAME, the newest version, or NAME:VERSION.")],
    seen: Seen,
) -> ArtifactDetails:
    """Of a name without a version the newest that you may see."""
    return details(seen, seen.get(check_kind(kind), reference))


@router.get("/api/artifacts/{artifact_id}", summary="One artifact")
@allows("member")
def get_artifact(artifact_id: ArtifactId, seen: Seen) -> ArtifactDetails:
    """Its manifest, and the note about it."""
    return details(seen, seen.by_id(artifact_id))


@router.get("/api/artifacts/{artifact_id}/versions", summary="All versions of its name")
@allows("member")
def list_versions(artifact_id: ArtifactId, seen: Seen, cursor: Cursor = None, limit: Limit = 50) -> ArtifactPage:
    """The artifacts of the same kind and name, newest first."""
    artifact = seen.by_id(artifact_id)
    given, following = page(seen.artifacts(artifact.kind, artifact.name), _key, cursor, limit)
    return ArtifactPage(artifacts=_summaries(seen, given), next=following)


@router.put("/api/artifacts/{artifact_id}/note", summary="Write a note about it")
@allows("member")
def write_artifact_note(artifact_id: ArtifactId, note: Note, seen: Seen) -> Note:
    """The artifact itself never changes; the note may. Only for whom the artifact belongs to."""
    artifact = own(seen, artifact_id)
    write_note(artifact.place, note.text)
    return Note(text=read_note(artifact.place))


@router.post("/api/artifacts/{artifact_id}/verify", summary="Read every byte and compare")
@allows("member", noted=False)
def verify_artifact(artifact_id: ArtifactId, seen: Seen, workshop: CurrentWorkshop) -> Verdict:
    """With the sizes and hashes in its manifest. Takes about a second for each gigabyte."""
    artifact = seen.by_id(artifact_id)
    with workshop.turns.take():
        try:
            differences = artifact.problems()
        except (OSError, ValueError):
            differences = ["Its files cannot be read."]
    return Verdict(intact=not differences, differences=differences)


@router.delete("/api/artifacts/{artifact_id}", summary="Delete one version", status_code=204)
@allows("member")
def delete_artifact(
    artifact_id: ArtifactId,
    seen: Seen,
    force: Annotated[bool, Query(description="Even if it is needed; owners only.")] = False,
) -> None:
    """Its number is never given again. 409 while others were made from it or a run reads it."""
    artifact = own(seen, artifact_id)
    if force and not seen.actor.is_at_least("owner"):
        raise Forbidden("Only an owner may delete what is needed.", "Delete what needs it first.")
    if not force:
        _refuse_if_needed(seen, artifact)
    seen.workspace.delete_artifact(artifact.kind, artifact.reference, force=True)


def own(seen: Visible, artifact_id: str) -> Artifact:
    """One that they may change. Raises NotFound and Forbidden."""
    artifact = seen.by_id(artifact_id)
    return seen.own_artifact(artifact.kind, artifact.reference)


def details(seen: Visible, artifact: Artifact) -> ArtifactDetails:
    """All about one."""
    manifest = artifact.manifest
    return ArtifactDetails(
        id=artifact.id,
        kind=artifact.kind,
        name=artifact.name,
        version=manifest.version,
        reference=artifact.reference,
        created=manifest.created.timestamp(),
        bytes=manifest.bytes,
        run=manifest.run,
        mine=_is_own(seen, manifest.run, _owners(seen, [manifest.run])),
        problem=None,
        hash=manifest.hash,
        parents=[Link(id=one.id, kind=one.kind, reference=one.reference) for one in manifest.parents],
        facts=manifest.facts,
        files=[ArtifactFile(path=path, **entry.model_dump()) for path, entry in manifest.files.items()],
        note=read_note(artifact.place),
    )


def _summaries(seen: Visible, entries: list[ArtifactEntry]) -> list[ArtifactSummary]:
    owners = _owners(seen, [entry.run for entry in entries])
    return [
        ArtifactSummary(
            id=entry.id,
            kind=entry.kind,
            name=entry.name,
            version=entry.version,
            reference=entry.reference,
            created=entry.created.timestamp(),
            bytes=entry.bytes,
            run=entry.run,
            mine=_is_own(seen, entry.run, owners),
            problem=entry.problem and entry.problem.replace(str(seen.workspace.folder), "the workspace"),
        )
        for entry in entries
    ]


def _owners(seen: Visible, runs: list[str | None]) -> dict[str, str]:
    """Run -> whose it is. Owners needn't ask: they may change everything."""
    return {} if seen.actor.is_at_least("owner") else seen.owners_of("run", {run for run in runs if run is not None})


def _is_own(seen: Visible, run: str | None, owners: dict[str, str]) -> bool:
    return seen.actor.is_at_least("owner") or (run is not None and owners.get(run) == seen.actor.id)


def _key(entry: ArtifactEntry) -> tuple[float, str]:
    return entry.created.timestamp(), f"{entry.kind}/{entry.name}/{entry.version:09}"


def _refuse_if_needed(seen: Visible, artifact: Artifact) -> None:
    """Raises Conflict that names what they may see of that, and counts the rest."""
    need = seen.workspace.needed_by(artifact)
    if not need:
        return
    visible = seen.artifacts_among(list(need.artifacts))
    named = [f"the {child.kind} {child.reference}" for child in visible]
    named += [f"the run {run.id}" for run in need.runs if seen.sees("run", run.id)]
    rest = len(need.artifacts) + len(need.runs) - len(named[:_NEEDED_SHOWN])
    said = [*named[:_NEEDED_SHOWN], *([f"{rest} more" if named else f"{rest} of other people"] if rest else [])]
    raise Conflict(
        f"The {artifact.kind} {artifact.reference} is needed by {', '.join(said)}.",
        "Delete those first; an owner may delete it all the same, with force.",
    )
