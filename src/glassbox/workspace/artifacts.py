"""The artifacts of a workspace: named, versioned folders that never change once they are published."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.artifact import Artifact, deletion_mark, versions_present
from glassbox.workspace.draft import Draft
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.manifest import ArtifactLink
from glassbox.workspace.names import Kind, Reference, check_kind
from glassbox.workspace.notes import note_file
from glassbox.workspace.remote_artifacts import URL_VARIABLE, RemoteArtifacts, away_mark
from glassbox.workspace.unfinished import UnfinishedFolders

if TYPE_CHECKING:
    from glassbox.workspace.artifact_index import ArtifactEntry, ArtifactIndex, Descendant


@dataclass(frozen=True)
class Lineage:
    """What an artifact was made from, and what those were made from. A deleted one has no `artifact`."""

    link: ArtifactLink
    artifact: Artifact | None
    parents: tuple[Lineage, ...]


class Artifacts:
    """Publishes, finds, and deletes."""

    def __init__(
        self, folder: Path, unfinished: UnfinishedFolders, index: ArtifactIndex, remote: RemoteArtifacts | None = None
    ) -> None:
        self.folder = folder
        self._unfinished = unfinished
        self._known = index
        self._remote = remote

    def draft(self, kind: Kind, name: str, *, parents: Iterable[Artifact] = (), run: str | None = None) -> Draft:
        """Begin an artifact; see `Draft`. Raises BadInput for a kind or name that cannot be one."""
        return Draft(self.folder, self._unfinished, kind, name, parents, run, self._remote)

    def folder_of(self, kind: Kind, reference: str) -> Path:
        """Where `name` (its newest version) or `name:3` lies, damaged or not. Raises BadInput if there is none."""
        wanted = Reference.parse(reference)
        self._look_around()
        name_folder = self.folder / check_kind(kind) / wanted.name
        present = versions_present(name_folder)
        if not present:
            raise BadInput(
                f"There is no {kind} called {wanted.name}.",
                f"See what there is: glassbox artifacts list --kind {kind}.",
            )
        version = present[-1] if wanted.version is None else wanted.version
        if version not in present:
            raise BadInput(
                f"The {kind} {wanted.name} has no version {version}.",
                f"Use one that it has: {', '.join(map(str, present))}.",
            )
        return name_folder / str(version)

    def get(self, kind: Kind, reference: str) -> Artifact:
        """The artifact called `name` (its newest version) or `name:3`. Raises BadInput if there is none."""
        return Artifact.read(self.folder_of(kind, reference))

    def newest(self, kind: Kind) -> Artifact | None:
        """The artifact of that kind that was made last."""
        entries = [entry for entry in self._index.entries(kind) if entry.problem is None]
        return Artifact.read(entries[0].folder) if entries else None

    def list(self, kind: Kind | None = None, name: str | None = None) -> list[ArtifactEntry]:
        """What there is, newest first; damaged ones carry a `problem`."""
        return self._index.entries(kind, name)

    def children(self, artifact_id: str) -> list[ArtifactEntry]:
        """The artifacts that were made from this one directly."""
        return self._index.children(artifact_id)

    def by_id(self, artifact_id: str) -> ArtifactEntry | None:
        """The one with that id; None if there is none, or if it is damaged."""
        return self._index.by_id(artifact_id)

    def descendants(self, artifact_id: str) -> list[Descendant]:
        """Everything that was made from this one, directly or from what was, nearest first."""
        return self._index.descendants(artifact_id)

    def find(self, link: ArtifactLink) -> Artifact | None:
        """What a link points to, or None if that was deleted. Raises BadInput if it is damaged."""
        reference = Reference.parse(link.reference)
        self._look_around()
        folder = self.folder / link.kind / reference.name / str(reference.version)
        if not folder.is_dir():
            return None
        artifact = Artifact.read(folder)
        return artifact if artifact.id == link.id else None

    def lineage(self, artifact: Artifact) -> Lineage:
        """The tree of everything that went into it."""
        return self._lineage(artifact.link, artifact)

    def _lineage(self, link: ArtifactLink, artifact: Artifact | None) -> Lineage:
        parents = artifact.manifest.parents if artifact else ()
        return Lineage(link, artifact, tuple(self._lineage(parent, self.find(parent)) for parent in parents))

    @property
    def _index(self) -> ArtifactIndex:
        self._look_around()
        return self._known

    def _look_around(self) -> None:
        """See what other machines have published, where several share their artifacts."""
        if self._remote is not None:
            self._remote.bring_manifests()

    def share(self, folder: Path) -> bool:
        """Publish to the shared store what only this machine has; False if it is there already.

        Raises BadInput if there is no such store, it doesn't answer, or holds another artifact under that version.
        """
        if self._remote is None:
            raise BadInput("There is no shared store.", f"Name one in ${URL_VARIABLE}, such as s3://bucket/folder.")
        artifact = Artifact.read(folder)
        if not self._remote.lacks(folder):
            return False
        if not self._remote.publish(artifact.folder, artifact.manifest):
            raise BadInput(
                f"Another machine has published a {artifact.kind} {artifact.reference} meanwhile.",
                "Make this one again: it gets the next version.",
            )
        return True

    def remove(self, folder: Path) -> None:
        """Delete one version without asking who depends on it; its number is never given again. Raises BadInput."""
        with disk_faults_as_bad_input(self.folder):
            if self._remote is not None:
                self._remote.delete(folder)
            deletion_mark(folder).touch()
            away_mark(folder).unlink(missing_ok=True)
            place = self._unfinished.create()
            try:
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    atomic.rename_folder(folder, self._unfinished.files(place))
                note_file(folder).unlink(missing_ok=True)
            finally:
                self._unfinished.remove(place)
