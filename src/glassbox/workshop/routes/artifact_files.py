"""The files of an artifact, to download one by one."""

from __future__ import annotations

from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import Path
from fastapi.responses import FileResponse

from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.routes.artifacts import ArtifactId
from glassbox.workspace import Artifact

router = Router(tags=["Artifacts"])


@router.get(
    "/api/artifacts/{artifact_id}/files/{path:path}",
    summary="Download a file",
    response_class=FileResponse,
    responses={
        200: {"description": "The file.", "content": {"application/octet-stream": {}}},
        206: {"description": "The part that `Range` asked for.", "content": {"application/octet-stream": {}}},
    },
)
@allows("member")
def download_artifact_file(
    artifact_id: ArtifactId,
    path: Annotated[str, Path(max_length=500, description="As the list of its files has it.")],
    seen: Seen,
) -> FileResponse:
    """A part of it with `Range`. It is always an attachment, and never shown as a page of the workshop."""
    artifact = seen.by_id(artifact_id)
    file = file_of(artifact, path)
    return FileResponse(
        file,
        media_type="application/octet-stream",
        filename=f"{artifact.name}-{artifact.manifest.version}-{PurePosixPath(path).name}",
        # Not to be compressed on the way: what Range counts are the bytes of the file.
        headers={"Content-Encoding": "identity", "ETag": f'"{artifact.manifest.files[path].sha256}"'},
    )


def file_of(artifact: Artifact, path: str) -> FilePath:
    """Where a file of the manifest lies: by its name there alone, and only if it truly lies within the artifact.

    Raises NotFound.
    """
    if path in artifact.manifest.files:
        folder = artifact.folder.resolve()
        file = (folder / path).resolve()
        if file.is_relative_to(folder) and file.is_file():
            return file
    raise NotFound("file", path, "See the list of its files.")
