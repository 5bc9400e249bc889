"""The manifest: what an artifact says about itself, kept as `manifest.json` in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from glassbox.errors import BadInput
from glassbox.workspace.names import Kind

MANIFEST_FILE = "manifest.json"
FORMAT = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Record):
    """One file of an artifact."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ArtifactLink(_Record):
    """Points to an artifact. Its reference is kept beside its id, so that a link still reads well after a deletion."""

    id: str
    kind: Kind
    reference: str

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"


class Manifest(_Record):
    """Everything about an artifact but its content."""

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    id: str = Field(pattern="^[0-9a-f]{16}$")
    kind: Kind
    name: str
    version: int = Field(ge=1)
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    created: datetime
    run: str | None = None
    parents: tuple[ArtifactLink, ...] = ()
    facts: dict[str, JsonValue] = {}
    files: dict[str, FileEntry] = {}

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.bytes for entry in self.files.values())


def hash_of(files: Mapping[str, FileEntry]) -> str:
    """SHA-256 over every file's path, size and content, in the order of the paths."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{files[path].bytes}\0{files[path].sha256}\n".encode())
    return digest.hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Raises BadInput if the manifest is missing or damaged."""
    path = folder / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        problem = f"{folder} has no {MANIFEST_FILE}."
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = f"{path} is damaged: {place + ': ' if place else ''}{first['msg']}."
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}."
    raise BadInput(problem, "Restore that file from a backup, or delete the artifact and make it again.")
