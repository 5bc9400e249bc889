"""The artifacts of a listing with their manifests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from glassbox.errors import BadInput
from glassbox.workspace import Artifact
from glassbox.workspace.artifact_index import ArtifactEntry


def opened(entries: Iterable[ArtifactEntry]) -> list[Artifact]:
    """In their order, without those that are damaged, or were deleted since they were listed."""
    found: list[Artifact] = []
    for entry in entries:
        if entry.problem is None:
            with contextlib.suppress(BadInput):
                found.append(Artifact.read(entry.folder))
    return found
