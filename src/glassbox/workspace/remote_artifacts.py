"""Artifacts that lie elsewhere: in an S3 bucket (Amazon's, or another that speaks S3) that several machines share.

    manifests/<kind>/<name>/<version>.json      one for each version; created once, never replaced
    manifests/<kind>/<name>/<version>.deleted   in the place of one that was deleted, so that no number is given twice
    files/<id>/<path>                           the files of the artifact with that id

Publishing uploads the files first and then creates the manifest, which the store does only if nobody else has created
it: that one step claims the version, as the rename of a folder does on a disk. The workspace's own folder is a copy of
what was needed here: every manifest, and the files of those artifacts that someone opened. Beside a folder that holds
its manifest only lies a mark, `<version>.away`, with the address that its files come from.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.content import difference, read_files
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.manifest import MANIFEST_FILE, Manifest, read_manifest
from glassbox.workspace.unfinished import UnfinishedFolders

URL_VARIABLE = "GLASSBOX_ARTIFACTS_URL"
_LOOK_EVERY = 5.0  # seconds between two looks at what others have published
_REMEDY = f"Look at ${URL_VARIABLE}, at the credentials (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …) and at the network."


class RemoteArtifacts:
    """The shared store at an address such as s3://bucket/folder. Raises BadInput if it cannot be used."""

    def __init__(self, url: str, artifacts_folder: Path, unfinished: UnfinishedFolders) -> None:
        self.url = url.rstrip("/")
        self._artifacts_folder = artifacts_folder
        self._unfinished = unfinished
        self._files, self._root = _opened(self.url)
        self._looked = float("-inf")

    @classmethod
    def chosen(cls, artifacts_folder: Path, unfinished: UnfinishedFolders) -> RemoteArtifacts | None:
        """The one that the environment names, if it names one."""
        url = os.environ.get(URL_VARIABLE)
        return cls(url, artifacts_folder, unfinished) if url else None

    def bring_manifests(self, *, now: bool = False) -> None:
        """Make what others have published, or deleted, known here; at most every few seconds, unless it must be `now`.

        Raises BadInput if the store doesn't answer.
        """
        if not now and time.monotonic() - self._looked < _LOOK_EVERY:
            return
        root = f"{self._root}/manifests/"
        with self._reached():
            self._files.invalidate_cache()
            found: list[str] = [path for path in self._files.find(root) if path.startswith(root)]
        for path in found:
            kind, name, entry = path.removeprefix(root).split("/")
            version, _, ending = entry.partition(".")
            folder = self._artifacts_folder / kind / name / version
            if ending == "deleted":
                self._forget(folder)
            elif ending == "json" and not folder.exists():
                self._bring_manifest(path, folder)
        self._looked = time.monotonic()

    def publish(self, folder: Path, manifest: Manifest) -> bool:
        """Upload the files of a draft and claim its version; False if someone else has that version already.

        Called again with the next version, it doesn't upload again. Raises BadInput if the store doesn't answer.
        """
        with self._reached():
            for path, entry in manifest.files.items():
                place = self._place_of(manifest, path)
                if not self._files.exists(place) or self._files.size(place) != entry.bytes:
                    self._files.put_file(str(folder / path), place)
            place = self._manifest_place(manifest)
            try:
                self._files.pipe_file(place, manifest.model_dump_json(indent=2).encode(), mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if self._files.exists(place):  # S3's answer to a condition that doesn't hold is an error of its own
                    return False
                raise error
        return True

    def delete(self, folder: Path) -> None:
        """Delete a version for everyone. Raises BadInput if the store doesn't answer."""
        place = "/".join((self._root, "manifests", *folder.parts[-3:]))  # kind, name, version
        with self._reached():
            if not self._files.exists(f"{place}.json"):
                return  # it was never there
            identity = Manifest.model_validate_json(self._files.cat_file(f"{place}.json")).id
            self._files.pipe_file(f"{place}.deleted", b"")
            self._files.rm(f"{place}.json")
            self._files.rm(f"{self._root}/files/{identity}", recursive=True)

    def lacks(self, folder: Path) -> bool:
        """Is this an artifact that only this machine has?"""
        manifest = read_manifest(folder)
        place = self._manifest_place(manifest)
        with self._reached():
            self._files.invalidate_cache()
            if not self._files.exists(place):
                return True
            return Manifest.model_validate_json(self._files.cat_file(place)).id != manifest.id

    def _bring_manifest(self, path: str, folder: Path) -> None:
        with self._reached():
            content: bytes = self._files.cat_file(path)
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise BadInput(f"{self.url}: {path} is damaged.", "Restore it, or delete it.") from error
        with disk_faults_as_bad_input(self._artifacts_folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_file(away_mark(folder), f"{self.url}/files/{manifest.id}".encode())
            place = self._unfinished.create()
            try:
                files = self._unfinished.files(place)
                files.mkdir()
                atomic.write_file(files / MANIFEST_FILE, content)
                with contextlib.suppress(FileExistsError):  # another process was faster
                    atomic.rename_folder(files, folder)
            finally:
                self._unfinished.remove(place)

    def _forget(self, folder: Path) -> None:
        """Do here what someone has done elsewhere."""
        mark = folder.with_name(f"{folder.name}.deleted")
        if mark.exists():
            return
        with disk_faults_as_bad_input(self._artifacts_folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            away_mark(folder).unlink(missing_ok=True)
            place = self._unfinished.create()
            try:
                with contextlib.suppress(FileNotFoundError):
                    atomic.rename_folder(folder, self._unfinished.files(place))
            finally:
                self._unfinished.remove(place)

    def _manifest_place(self, manifest: Manifest) -> str:
        return f"{self._root}/manifests/{manifest.kind}/{manifest.name}/{manifest.version}.json"

    def _place_of(self, manifest: Manifest, path: str) -> str:
        return f"{self._root}/files/{manifest.id}/{path}"

    def _reached(self) -> contextlib.AbstractContextManager[None]:
        return _reached(self.url)


def away_mark(folder: Path) -> Path:
    """The file that lies beside an artifact's folder while its files are elsewhere."""
    return folder.with_name(f"{folder.name}.away")


def bring_files(folder: Path) -> None:
    """Fetch the files of an artifact whose mark says that they are elsewhere; nothing where there is no mark.

    What arrives is compared with the manifest, byte for byte. Any number of processes may do this at once.
    Raises BadInput if the store doesn't answer, or gives other bytes than were published.
    """
    mark = away_mark(folder)
    try:
        url = mark.read_text()
    except FileNotFoundError:
        return
    manifest = read_manifest(folder)
    files, root = _opened(url)
    unfinished = UnfinishedFolders(folder.parents[3] / "unfinished")
    with disk_faults_as_bad_input(folder):
        place = unfinished.create()
        try:
            arrived = unfinished.files(place)
            for path in manifest.files:
                (arrived / path).parent.mkdir(parents=True, exist_ok=True)
                with _reached(url):
                    files.get_file(f"{root}/{path}", str(arrived / path))
            if problems := difference(manifest.files, read_files(arrived, sync=True)):
                raise BadInput(
                    f"{url} holds other files than were published: {problems[0]}.",
                    "Restore them, or delete the artifact and make it again.",
                )
            for path in manifest.files:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (arrived / path).replace(folder / path)
            atomic.sync(folder)
            mark.unlink(missing_ok=True)
        finally:
            unfinished.remove(place)


def _opened(url: str) -> tuple[Any, str]:
    """The file system of an address, and the place in it."""
    bucket = url.removeprefix("s3://")
    if not url.startswith("s3://") or not bucket.strip("/"):
        raise BadInput(f"{url} is no address that artifacts can be shared at.", "Use one such as s3://bucket/folder.")
    try:
        import s3fs  # pyright: ignore[reportMissingTypeStubs]  (has none)
    except ImportError as error:
        raise BadInput(
            f"{url} needs the package s3fs, which isn't installed.", "Install it with: pip install 'glassbox-llm[s3]'."
        ) from error
    return cast("Any", s3fs).S3FileSystem(), bucket.rstrip("/")


@contextlib.contextmanager
def _reached(url: str) -> Generator[None]:
    """What a store refuses, as an error that says what to do."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        kind = type(error)
        if not isinstance(error, OSError) and not kind.__module__.startswith(("botocore", "aiobotocore", "s3fs")):
            raise
        raise BadInput(f"The artifacts at {url} cannot be reached: {kind.__name__}: {error}.", _REMEDY) from error
