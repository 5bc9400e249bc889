"""Where an artifact comes from and what became of it, as a graph of artifacts and the runs between them.

Whoever sees an artifact may know by name what it was made from; what of that isn't theirs to see is a node that says
nothing more, and the graph ends there. What was made from it is shown as far as it is theirs to see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from glassbox.errors import BadInput
from glassbox.workshop.problems import NotFound
from glassbox.workshop.visible import Visible
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


@dataclass(frozen=True)
class _Slots:
    """Artifact id -> the slot that a run takes or makes it in."""

    takes: Mapping[str, str] = field(default_factory=dict[str, str])
    makes: Mapping[str, str] = field(default_factory=dict[str, str])


class _Builder:
    def __init__(self, seen: Visible) -> None:
        self.graph = LineageGraph()
        self.met: list[Artifact | ArtifactLink] = []
        self._seen = seen
        self._slots: dict[str, _Slots] = {}

    def ancestors(self, artifact: Artifact) -> None:
        waiting: deque[Artifact] = deque([artifact])
        self._add(artifact)
        while waiting:
            child = waiting.popleft()
            for link in child.manifest.parents:
                if link.id not in self.graph.artifacts:
                    parent = self._parent(link)
                    if parent is not None:
                        waiting.append(parent)
            self._join(child.id, child.manifest.run, [link.id for link in child.manifest.parents])

    def descendants(self, artifact: Artifact) -> None:
        found = self._seen.workspace.artifacts.descendants(artifact.id)
        visible = {entry.id for entry in self._seen.artifacts_among([one.entry for one in found])}
        for one in found:
            entry = one.entry
            if entry.id is None or entry.id not in visible or entry.id in self.graph.artifacts:
                continue
            if not self._has_room():
                break
            self.graph.artifacts[entry.id] = ArtifactNode(
                entry.id, entry.kind, entry.reference, "here", entry.created, entry.bytes
            )
            self._join(entry.id, entry.run, one.parents)
        known = self.graph.artifacts.keys() | self.graph.runs.keys()
        self.graph.edges = {pair: edge for pair, edge in self.graph.edges.items() if set(pair) <= known}

    def _parent(self, link: ArtifactLink) -> Artifact | None:
        """What a link leads to, if that is theirs to see; else it becomes a node that says no more than its name."""
        try:
            found = self._seen.by_id(link.id)
        except NotFound:
            presence = self._presence(link)
        except BadInput:
            presence = "damaged"
        else:
            return found if self._add(found) else None
        if self._has_room():
            self.graph.artifacts[link.id] = ArtifactNode(link.id, link.kind, link.reference, presence)
            self.met.append(link)
        return None

    def _presence(self, link: ArtifactLink) -> Presence:
        """Of something that they don't find by its id."""
        try:
            return "deleted" if self._seen.workspace.artifacts.find(link) is None else "hidden"
        except BadInput:
            return "damaged" if self._seen.sees_all else "hidden"

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

    def _join(self, artifact: str, run: str | None, parents: Iterable[str]) -> None:
        """Its parents with the run that made it, and that with it; without a run its parents with itself."""
        slots = _Slots() if run is None else self._run(run)
        if run is not None:
            self._edge(run, artifact, slots.makes.get(artifact))
        for parent in parents:
            self._edge(parent, run or artifact, slots.takes.get(parent))

    def _run(self, run_id: str) -> _Slots:
        """Adds its node, when it is first met."""
        if run_id not in self._slots:
            try:
                run = self._seen.run(run_id)
            except (NotFound, BadInput):
                self.graph.runs[run_id] = RunNode(run_id)
                self._slots[run_id] = _Slots()
            else:
                record = run.record
                self.graph.runs[run_id] = RunNode(
                    run_id, record.stage, record.name, run.state, record.created, record.code
                )
                self._slots[run_id] = _Slots(
                    {link.id: slot for slot, link in record.inputs.items()},
                    {link.id: slot for slot, link in run.status.outputs.items()},
                )
        return self._slots[run_id]

    def _edge(self, source: str, target: str, role: str | None) -> None:
        self.graph.edges.setdefault((source, target), Edge(source, target, role))
