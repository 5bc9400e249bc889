"""What a run wrote to be fetched, such as a model in another program's format."""

from __future__ import annotations

from fastapi.responses import FileResponse, StreamingResponse
from pydantic import ValidationError
from starlette.responses import Response

from glassbox.errors import BadInput
from glassbox.stages.registry import load_stage
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.routes.run_descriptions import RunId
from glassbox.workshop.uploads.downloads import FOLDER, written, zipped

router = Router(tags=["Runs"])

_AS_THEY_ARE = {"Content-Encoding": "identity"}  # not to be compressed on the way
_ATTACHMENT: dict[str, dict[str, str]] = {"application/octet-stream": {}, "application/zip": {}}


@router.get(
    "/api/runs/{run_id}/download",
    summary="Fetch what a run wrote",
    response_class=Response,
    responses={
        200: {"description": "The file, or the folder as a .zip.", "content": _ATTACHMENT},
        206: {"description": "The part of a file that `Range` asked for.", "content": _ATTACHMENT},
    },
)
@allows("member")
def download_what_a_run_wrote(run_id: RunId, seen: Seen) -> Response:
    """Where its settings say `download:<name>`: a file as it is, a folder as a .zip. Kept for a week."""
    record = seen.run(run_id).record
    try:
        settings = load_stage(record.stage).settings.model_validate(record.settings)
        path = written(settings, seen.workspace.folder / FOLDER)
    except (BadInput, ValidationError):  # of another version of Glassbox
        path = None
    if path is None:
        raise NotFound("download", run_id, "The run wrote none, isn't over yet, or it was a week ago.")
    if path.is_file():
        media_type = "application/octet-stream"
        return FileResponse(path, media_type=media_type, filename=path.name, headers=_AS_THEY_ARE)
    headers = {"Content-Disposition": f'attachment; filename="{path.name}.zip"', **_AS_THEY_ARE}
    return StreamingResponse(zipped(path), media_type="application/zip", headers=headers)
