"""Making an artifact: files are written into a draft, and published by one rename, or not at all."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from pydantic import JsonValue

from glassbox.workspace import atomic
from glassbox.workspace.artifact import Artifact, next_version
from glassbox.workspace.content import read_files
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.manifest import MANIFEST_FILE, Manifest, hash_of
from glassbox.workspace.names import Kind, check_kind, check_name
from glassbox.workspace.remote_artifacts import RemoteArtifacts
from glassbox.workspace.unfinished import UnfinishedFolders


class Draft:
    """An artifact in the making. Leaving `with artifacts.draft(...) as draft:` publishes, an exception discards."""

    def __init__(
        self,
        artifacts_folder: Path,
        unfinished: UnfinishedFolders,
        kind: Kind,
        name: str,
        parents: Iterable[Artifact],
        run: str | None,
        remote: RemoteArtifacts | None = None,
    ) -> None:
        self.kind: Kind = check_kind(kind)
        self.name = check_name(name)
        self.parents = tuple(parent.link for parent in parents)
        self.run = run
        self._artifacts_folder = artifacts_folder
        self._unfinished = unfinished
        self._remote = remote
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
        """Keep facts (numbers, words; anything JSON) in the manifest. Raises TypeError or ValueError for what isn't."""
        json.dumps(facts, allow_nan=False)
        self._facts |= facts

    def __enter__(self) -> Draft:
        with disk_faults_as_bad_input(self._artifacts_folder):
            self._unfinished.sweep()
            self._place = self._unfinished.create()
            self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        place = self._place
        assert place is not None
        try:
            if error is None:
                with disk_faults_as_bad_input(self._artifacts_folder):
                    self._artifact = self._publish()
        finally:
            self._place = None
            self._unfinished.remove(place)

    def _publish(self) -> Artifact:
        folder = self.folder
        if (folder / MANIFEST_FILE).exists():
            raise ValueError(f"{MANIFEST_FILE} is written by the workspace; a stage may not write its own")
        files = read_files(folder, sync=True)
        if not files:
            raise ValueError(f"nothing was written into the {self.kind} {self.name}")
        name_folder = self._artifacts_folder / self.kind / self.name
        name_folder.mkdir(parents=True, exist_ok=True)
        identity = secrets.token_hex(8)
        while True:
            if self._remote is not None:
                self._remote.bring_manifests(now=True)
            manifest = Manifest(
                id=identity,
                kind=self.kind,
                name=self.name,
                version=next_version(name_folder),
                hash=hash_of(files),
                created=datetime.now(UTC),
                run=self.run,
                parents=self.parents,
                facts=self._facts,
                files=files,
            )
            atomic.write_file(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2).encode())
            if self._remote is not None and not self._remote.publish(folder, manifest):
                continue  # another machine took that version meanwhile
            target = name_folder / str(manifest.version)
            try:
                atomic.rename_folder(folder, target)
            except FileExistsError:
                continue  # another process took that version meanwhile
            return Artifact(target, manifest)
