"""The card of a model or adapter, from all that the one who asks may see."""

from __future__ import annotations

from pydantic import JsonValue

from glassbox.errors import BadInput
from glassbox.hub.model_card import Making, Measurement, ModelCard, Source
from glassbox.spec import ModelSpec
from glassbox.workshop.problems import NotFound
from glassbox.workshop.registry.lineage import ancestors
from glassbox.workshop.registry.opened import opened
from glassbox.workshop.registry.settings_shown import NamesAlone, settings_shown
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact
from glassbox.workspace.manifest import ArtifactLink
from glassbox.workspace.notes import read_note

MEASUREMENTS = 20
"""The newest so many reports."""


def model_card(seen: Visible, artifact: Artifact) -> ModelCard:
    """Raises BadInput for an artifact that is neither a model nor an adapter, or is damaged."""
    if artifact.kind not in ("model", "adapter"):
        raise BadInput(
            f"A card tells of a model, and {artifact.reference} is of the kind {artifact.kind}.",
            "Give the id of a model or an adapter.",
        )
    manifest = artifact.manifest
    spec = ModelSpec.load(artifact.folder / "spec.json") if "spec.json" in manifest.files else None
    return ModelCard(
        reference=artifact.reference,
        kind=artifact.kind,
        hash=manifest.hash,
        created=manifest.created,
        bytes=manifest.bytes,
        facts=manifest.facts,
        spec=spec,
        note=read_note(artifact.place),
        making=_making(seen, manifest.run),
        sources=tuple(_source(one) for one in ancestors(seen, artifact)),
        measurements=_measurements(seen, artifact),
    )


def _source(found: Artifact | ArtifactLink) -> Source:
    return Source(found.kind, found.reference, found.facts if isinstance(found, Artifact) else {})


def _making(seen: Visible, run_id: str | None) -> Making | None:
    """None where the run was deleted, or isn't theirs to see."""
    if run_id is None:
        return None
    try:
        run = seen.run(run_id)
    except (NotFound, BadInput):
        return None
    settings: dict[str, JsonValue] = settings_shown(run.record.stage, run.record.settings, NamesAlone())
    status = run.status
    return Making(
        run.id, run.record.stage, run.record.code, settings, status.result, status.attempt, status.started, status.ended
    )


def _measurements(seen: Visible, artifact: Artifact) -> tuple[Measurement, ...]:
    children = seen.workspace.artifacts.children(artifact.id)
    reports = seen.artifacts_among([child for child in children if child.kind == "report"])
    return tuple(
        Measurement(report.reference, report.manifest.created, report.facts)
        for report in opened(reports[:MEASUREMENTS])
    )
