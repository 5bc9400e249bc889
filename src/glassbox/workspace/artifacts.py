"""Artifacts: named, versioned folders that never change once they are published.

`artifacts/<kind>/<name>/<version>/` is the truth; the database only knows where to look.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from pydantic import JsonValue

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.content import difference, read_files
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.manifest import MANIFEST_FILE, Manifest, Parent, hash_of, read_manifest
from glassbox.workspace.names import Kind, Reference, check_kind, check_name
from glassbox.workspace.unfinished import UnfinishedFolders

_VERSION_ENTRY = re.compile(r"([1-9][0-9]*)(\.deleted)?", re.ASCII)


@dataclass(frozen=True)
class Artifact:
    """A published artifact: read what is in `folder`, change nothing there."""

    folder: Path
    manifest: Manifest

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
    def facts(self) -> dict[str, JsonValue]:
        """What the stage that made it wrote down about it."""
        return self.manifest.facts

    def problems(self) -> list[str]:
        """Read every byte and compare with the manifest: one sentence for each difference. Raises OSError."""
        return difference(self.manifest.files, read_files(self.folder))


class Draft:
    """An artifact in the making. Leaving `with artifacts.draft(...) as draft:` publishes, an exception discards."""

    def __init__(
        self, artifacts: Artifacts, kind: Kind, name: str, parents: Iterable[Artifact], run: str | None
    ) -> None:
        self._artifacts = artifacts
        self.kind: Kind = check_kind(kind)
        self.name = check_name(name)
        self.parents = tuple(Parent(id=one.id, kind=one.kind, reference=one.reference) for one in parents)
        self.run = run
        self._facts: dict[str, JsonValue] = {}
        self._place: Path | None = None
        self._artifact: Artifact | None = None

    @property
    def folder(self) -> Path:
        """Where to write the files."""
        if self._place is None:
            raise RuntimeError("a draft has a folder inside its with block only")
        return UnfinishedFolders.files(self._place)

    @property
    def artifact(self) -> Artifact:
        """What the draft became, once the with block has been left."""
        if self._artifact is None:
            raise RuntimeError("the draft has not been published")
        return self._artifact

    def describe(self, **facts: JsonValue) -> None:
        """Keep facts (numbers, words; anything JSON) in the manifest."""
        json.dumps(facts, allow_nan=False)
        self._facts |= facts

    def __enter__(self) -> Draft:
        with disk_faults_as_bad_input(self._artifacts.folder):
            self._artifacts.unfinished.sweep()
            self._place = self._artifacts.unfinished.create()
            self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        place = self._place
        assert place is not None
        try:
            if error is None:
                with disk_faults_as_bad_input(self._artifacts.folder):
                    self._artifact = self._publish()
        finally:
            self._place = None
            self._artifacts.unfinished.remove(place)

    def _publish(self) -> Artifact:
        folder = self.folder
        if (folder / MANIFEST_FILE).exists():
            raise ValueError(f"{MANIFEST_FILE} is written by the workspace; a stage may not write its own")
        files = read_files(folder, sync=True)
        if not files:
            raise ValueError(f"nothing was written into the {self.kind} {self.name}")
        versions = self._artifacts.folder / self.kind / self.name
        versions.mkdir(parents=True, exist_ok=True)
        while True:
            manifest = Manifest(
                id=secrets.token_hex(8),
                kind=self.kind,
                name=self.name,
                version=max(_versions_ever_used(versions), default=0) + 1,
                hash=hash_of(files),
                created=datetime.now(UTC),
                run=self.run,
                parents=self.parents,
                facts=self._facts,
                files=files,
            )
            atomic.write_file(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2).encode())
            target = versions / str(manifest.version)
            try:
                atomic.rename_folder(folder, target)
            except FileExistsError:
                continue  # another process took that version meanwhile
            return Artifact(target, manifest)


class Artifacts:
    """The artifacts of a workspace."""

    def __init__(self, folder: Path, unfinished: UnfinishedFolders) -> None:
        self.folder = folder
        self.unfinished = unfinished

    def draft(self, kind: Kind, name: str, *, parents: Iterable[Artifact] = (), run: str | None = None) -> Draft:
        """Begin an artifact; see `Draft`. Raises BadInput for a name that cannot be one."""
        return Draft(self, kind, name, parents, run)

    def get(self, kind: Kind, reference: str) -> Artifact:
        """The artifact called `name` (its newest version) or `name:3`. Raises BadInput if there is none."""
        wanted = Reference.parse(reference)
        versions = self.folder / check_kind(kind) / wanted.name
        present = sorted(_versions_present(versions))
        if not present:
            raise BadInput(
                f"There is no {kind} called {wanted.name}.",
                f"See what there is: glassbox artifacts list --kind {kind}.",
            )
        version = present[-1] if wanted.version is None else wanted.version
        if version not in present:
            raise BadInput(
                f"The {kind} {wanted.name} has no version {version}.",
                f"Its versions are {', '.join(map(str, present))}.",
            )
        folder = versions / str(version)
        return Artifact(folder, read_manifest(folder))


def _versions_present(folder: Path) -> Iterator[int]:
    return (version for version, deleted in _version_entries(folder) if not deleted)


def _versions_ever_used(folder: Path) -> Iterator[int]:
    return (version for version, _ in _version_entries(folder))


def _version_entries(folder: Path) -> Iterator[tuple[int, bool]]:
    """Each version in a name's folder, and whether it is only the mark of a deleted one."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return
    for name in names:
        if match := _VERSION_ENTRY.fullmatch(name):
            yield int(match[1]), match[2] is not None
