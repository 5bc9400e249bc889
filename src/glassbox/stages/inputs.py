"""Which artifacts a stage takes: those that a person named, and for the rest a choice that is said aloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from glassbox.errors import BadInput
from glassbox.stages import registry
from glassbox.stages.interface import Slot, Stage
from glassbox.workspace import Artifact
from glassbox.workspace.artifacts import Lineage
from glassbox.workspace.manifest import ArtifactLink
from glassbox.workspace.names import Kind, shown


class InputSource(Protocol):
    """Where inputs come from: all artifacts of a workspace (`Workspace.artifacts`), or those that one person sees."""

    def get(self, kind: Kind, reference: str, /) -> Artifact:
        """By `name` or `name:3`. Raises BadInput if there is none."""
        ...

    def find(self, link: ArtifactLink, /) -> Artifact | None:
        """What a link points to, unless it is gone, or not theirs to see."""
        ...

    def newest(self, kind: Kind, /) -> Artifact | None:
        """The one that was made last."""
        ...

    def lineage(self, artifact: Artifact, /) -> Lineage:
        """What went into it."""
        ...


@dataclass(frozen=True)
class Inputs:
    """The artifacts by slot, and one sentence for each that nobody named."""

    artifacts: Mapping[str, Artifact]
    choices: tuple[str, ...]


def resolve_inputs(stage: Stage, source: InputSource, given: Mapping[str, str]) -> Inputs:
    """Fill a stage's slots from references such as `shakespeare` or `shakespeare:3`.

    A required slot that was left out takes what the other inputs were made from, if one of that is of its kind
    (evaluating a model takes the shards that it learned from), else the newest of its kind. Raises BadInput if there is
    none.
    """
    for slot in given.keys() - stage.takes.keys():
        raise BadInput(f"{stage.name} takes no input called {shown(slot)}.", f"It takes: {', '.join(stage.takes)}.")
    found = {slot: source.get(stage.takes[slot].kind, reference) for slot, reference in given.items()}
    choices: list[str] = []
    for name, slot in stage.takes.items():
        if name in found or not slot.required:
            continue
        found[name], reason = _choose(stage, slot, source, list(found.values()))
        choices.append(f"{name}: {found[name].reference}, {reason}")
    return Inputs({name: found[name] for name in stage.takes if name in found}, tuple(choices))


def _choose(stage: Stage, slot: Slot, source: InputSource, others: list[Artifact]) -> tuple[Artifact, str]:
    for other in others:
        if ancestor := _nearest_ancestor(source, other, slot.kind):
            return ancestor, f"which the {other.kind} {other.reference} was made from"
    if newest := source.newest(slot.kind):
        return newest, f"the newest {slot.kind}"
    makers = " or ".join(f"glassbox {maker}" for maker in registry.makers(slot.kind) if maker != stage.name)
    raise BadInput(
        f"{stage.name} needs {slot.description}, and there is no {slot.kind}.",
        f"Make one first: {makers}." if makers else "Choose another workspace.",
    )


def _nearest_ancestor(source: InputSource, artifact: Artifact, kind: Kind) -> Artifact | None:
    generation = list(source.lineage(artifact).parents)
    while generation:
        for one in generation:
            if one.artifact is not None and one.artifact.kind == kind and source.find(one.artifact.link) is not None:
                return one.artifact
        generation = [parent for one in generation for parent in one.parents]
    return None
