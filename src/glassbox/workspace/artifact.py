"""One artifact, and where the versions of a name lie on the disk: `artifacts/<kind>/<name>/<version>/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from glassbox.workspace.content import difference, read_files
from glassbox.workspace.manifest import ArtifactLink, Manifest, read_manifest
from glassbox.workspace.names import Kind
from glassbox.workspace.remote_artifacts import bring_files

_VERSION_ENTRY = re.compile(r"([1-9][0-9]*)(\.deleted)?", re.ASCII)


@dataclass(frozen=True)
class Artifact:
    """A published artifact: read what is in `folder`, change nothing there.

    place: where it lies on this disk, or will lie once its files have been brought from elsewhere.
    """

    place: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path) -> Artifact:
        """Raises BadInput if the manifest is missing or damaged."""
        return cls(folder, read_manifest(folder))

    @property
    def folder(self) -> Path:
        """Where its files are. Brings them here first if they are elsewhere; raises BadInput if that fails."""
        bring_files(self.place)
        return self.place

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def kind(self) -> Kind:
        return self.manifest.kind

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def reference(self) -> str:
        """`name:version`, unique within its kind."""
        return f"{self.manifest.name}:{self.manifest.version}"

    @property
    def link(self) -> ArtifactLink:
        return ArtifactLink(id=self.id, kind=self.kind, reference=self.reference)

    @property
    def facts(self) -> dict[str, JsonValue]:
        """What the stage that made it wrote down about it."""
        return self.manifest.facts

    def problems(self) -> list[str]:
        """Read every byte and compare with the manifest: one sentence for each difference. Raises OSError."""
        return difference(self.manifest.files, read_files(self.folder))


def versions_present(name_folder: Path) -> list[int]:
    """The versions of a name, oldest first."""
    return sorted(version for version, deleted in _version_entries(name_folder) if not deleted)


def next_version(name_folder: Path) -> int:
    """One above every version that there is or ever was, so that a reference never changes its meaning."""
    return max((version for version, _ in _version_entries(name_folder)), default=0) + 1


def deletion_mark(folder: Path) -> Path:
    """The file that stands in for a deleted version."""
    return folder.with_name(f"{folder.name}.deleted")


def _version_entries(name_folder: Path) -> Iterator[tuple[int, bool]]:
    try:
        names = [entry.name for entry in name_folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if match := _VERSION_ENTRY.fullmatch(name):
            yield int(match[1]), match[2] is not None
