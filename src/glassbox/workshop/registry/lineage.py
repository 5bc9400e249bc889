"""Where an artifact comes from and what became of it, as a graph of artifacts and the runs between them.

Whoever sees an artifact may know by name what it was made from; what of that isn't theirs to see is a node that says
nothing more, and the graph ends there. What was made from it is shown as far as it is theirs to see.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from glassbox.errors import BadInput
from glassbox.workshop.access.visible import Visible
from glassbox.workshop.problems import NotFound
from glassbox.workspace import Artifact
from glassbox.workspace.manifest import ArtifactLink

LARGEST = 500  # artifacts

Presence = Literal["here", "deleted", "hidden", "damaged"]


@dataclass(frozen=True)
class ArtifactNode:
    """An artifact; its time and size are known only of what is here."""

    id: str
    kind: str
    reference: str
    presence: Presence
    created: datetime | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class RunNode:
    """A run; all but its id is None where it was deleted or isn't theirs to see. code: which code it was asked of."""

    id: str
    stage: str | None = None
    name: str | None = None
    state: str | None = None
    created: datetime | None = None
    code: str | None = None


@dataclass(frozen=True)
class Edge:
    """From what was there first to what came of it. role: the slot that a run takes or makes it in."""

    source: str
    target: str
    role: str | None


@dataclass
class LineageGraph:
    """cut: there is more than `LARGEST` artifacts of it."""

    artifacts: dict[str, ArtifactNode] = field(default_factory=dict[str, ArtifactNode])
    runs: dict[str, RunNode] = field(default_factory=dict[str, RunNode])
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict[tuple[str, str], Edge])
    cut: bool = False


def lineage_graph(seen: Visible, artifact: Artifact) -> LineageGraph:
    """Everything that went into it, and everything that was made from it."""
    builder = _Builder(seen)
    builder.ancestors(artifact)
    builder.descendants(artifact)
    return builder.graph


def ancestors(seen: Visible, artifact: Artifact) -> list[Artifact | ArtifactLink]:
    """What went into it, nearest first; of what is deleted or not theirs to see only the link."""
    builder = _Builder(seen)
    builder.ancestors(artifact)
    return builder.met[1:]


class _Builder:
    def __init__(self, seen: Visible) -> None:
        self.graph = LineageGraph()
        self.met: list[Artifact | ArtifactLink] = []
        self._seen = seen
        self._visible = {entry.id for entry in seen.artifacts() if entry.id is not None}

    def ancestors(self, artifact: Artifact) -> None:
        waiting: deque[Artifact] = deque([artifact])
        self._add(artifact)
        while waiting:
            child = waiting.popleft()
            for link in child.manifest.parents:
                parent = self._parent(link)
                if parent is not None:
                    waiting.append(parent)
            self._join(child)

    def descendants(self, artifact: Artifact) -> None:
        for entry in self._seen.workspace.artifacts.descendants(artifact.id):
            if entry.id in self._visible and entry.id not in self.graph.artifacts:
                with contextlib.suppress(BadInput):  # deleted in this moment
                    child = Artifact.read(entry.folder)
                    if self._add(child):
                        self._join(child)
        known = self.graph.artifacts.keys() | self.graph.runs.keys()
        self.graph.edges = {pair: edge for pair, edge in self.graph.edges.items() if set(pair) <= known}

    def _parent(self, link: ArtifactLink) -> Artifact | None:
        """What a link leads to, if it was met for the first time and is theirs to see."""
        if link.id in self.graph.artifacts:
            return None
        presence: Presence = "deleted"
        try:
            found = self._seen.workspace.artifacts.find(link)
        except BadInput:
            found, presence = None, "damaged" if self._seen.sees_all else "hidden"
        if found is not None and link.id in self._visible:
            return found if self._add(found) else None
        if found is not None:
            presence = "hidden"
        if self._has_room():
            self.graph.artifacts[link.id] = ArtifactNode(link.id, link.kind, link.reference, presence)
            self.met.append(link)
        return None

    def _add(self, artifact: Artifact) -> bool:
        if not self._has_room():
            return False
        manifest = artifact.manifest
        self.graph.artifacts[artifact.id] = ArtifactNode(
            artifact.id, artifact.kind, artifact.reference, "here", manifest.created, manifest.bytes
        )
        self.met.append(artifact)
        return True

    def _has_room(self) -> bool:
        self.graph.cut = self.graph.cut or len(self.graph.artifacts) >= LARGEST
        return not self.graph.cut

    def _join(self, artifact: Artifact) -> None:
        """Its parents with the run that made it, and that with it; without a run its parents with itself."""
        run = artifact.manifest.run
        slots: dict[str, str] = {}
        role: str | None = None
        if run is not None:
            slots, role = self._run(run, artifact.id)
            self._edge(run, artifact.id, role)
        for link in artifact.manifest.parents:
            self._edge(link.id, run or artifact.id, slots.get(link.id))

    def _run(self, run_id: str, output: str) -> tuple[dict[str, str], str | None]:
        """Adds its node. The slot of each of its inputs, and the one of this output."""
        try:
            run = self._seen.run(run_id)
        except (NotFound, BadInput):
            self.graph.runs.setdefault(run_id, RunNode(run_id))
            return {}, None
        record = run.record
        if run_id not in self.graph.runs:
            self.graph.runs[run_id] = RunNode(run_id, record.stage, record.name, run.state, record.created, record.code)
        made = next((slot for slot, link in run.status.outputs.items() if link.id == output), None)
        return {link.id: slot for slot, link in record.inputs.items()}, made

    def _edge(self, source: str, target: str, role: str | None) -> None:
        self.graph.edges.setdefault((source, target), Edge(source, target, role))
