"""Bringing files: tus 1.0.0 (https://tus.io/protocols/resumable-upload), so that any of its clients works.

    OPTIONS /api/uploads         what is understood
    POST    /api/uploads         begin: Upload-Length, Upload-Metadata (filename, filetype, sha256)
    HEAD    /api/uploads/{id}    how far is it?
    PATCH   /api/uploads/{id}    go on at an offset, with a checksum if wanted
    DELETE  /api/uploads/{id}    take it away

Besides, in JSON: the list, one upload with what was found in it, and a preview read in another way.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import Header, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from glassbox.data.inspection import Inspection
from glassbox.data.sources.encodings import Encoding
from glassbox.errors import BadInput
from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.paging import Cursor, Limit, page
from glassbox.workshop.problems import Conflict, TooLarge
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.uploads import tus
from glassbox.workshop.uploads.check_process import CheckRequest
from glassbox.workshop.uploads.incoming import ALGORITHMS, Checksum, Incoming
from glassbox.workshop.uploads.uploads import Upload, Uploads
from glassbox.workspace import Run, Workspace

router = Router(tags=["Uploads"])

UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The upload's id.", examples=["4f" * 16])]
TusVersion = Annotated[str | None, Header(alias="Tus-Resumable", max_length=20, examples=[tus.VERSION])]
WholeNumber = Annotated[int | None, Header(ge=0, le=2**62)]


class UploadDetails(BaseModel):
    """A file on its way, or one that came whole, with what is in it."""

    id: str = Field(examples=["4f" * 16])
    label: str = Field(description="What its owner calls it.", examples=["Tales.txt"])
    state: Literal["receiving", "checking", "ready", "refused"] = Field(
        description="receiving bytes; being looked into; readable as it is; or refused, and the problem says why."
    )
    length: int = Field(description="Bytes that it has when it is whole.", examples=[1_115_394])
    offset: int = Field(description="Bytes that came.", examples=[1_115_394])
    content_type: str = Field(description="As the client says.", examples=["text/plain"])
    file: str | None = Field(description="Its name here, with the suffix of what it is.", examples=["tales.txt"])
    created: float = Field(description="Seconds since 1970.", examples=[1795284000.0])
    expires: float | None = Field(description="When an upload that nobody goes on with is deleted.")
    reference: str = Field(description="What a stage's settings call it.", examples=["upload:" + "4f" * 16])
    problem: str | None = Field(description="Why it can't be read as it is. It is kept; a run may read it otherwise.")
    remedy: str | None = Field(description="What to do about that.")
    inspection: Inspection | None = Field(description="What is in it; null in a list.")


class UploadPage(BaseModel):
    """Some uploads, newest first."""

    uploads: list[UploadDetails]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


@router.options("/api/uploads", summary="What of tus is understood", status_code=204, response_class=Response)
@allows("member")
def get_upload_options(workshop: CurrentWorkshop) -> Response:
    """The protocol's version and extensions, and how large an upload may be."""
    return tus.answer(
        HTTPStatus.NO_CONTENT,
        {
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Max-Size": str(workshop.uploads.limits.largest),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        },
    )


@router.post("/api/uploads", summary="Begin an upload", status_code=201, response_class=Response)
@allows("member")
def begin_upload(
    workshop: CurrentWorkshop,
    actor: CurrentActor,
    upload_length: Annotated[WholeNumber, Header(description="Bytes that it will have.", examples=[1_115_394])] = None,
    upload_metadata: Annotated[
        str | None,
        Header(
            max_length=4000,
            description="Pairs of a key and a value in Base64: filename, filetype, sha256.",
            examples=["filename dGFsZXMudHh0,filetype dGV4dC9wbGFpbg=="],
        ),
    ] = None,
    tus_resumable: TusVersion = None,
) -> Response:
    """Location in the answer is where its bytes go. Nothing is read into the name: it is a label."""
    if (refused := tus.other_version(tus_resumable)) is not None:
        return refused
    if upload_length is None:
        raise BadInput("Upload-Length is needed: how many bytes the upload will have.", "Send that header.")
    metadata = tus.read_metadata(upload_metadata or "")
    upload = workshop.uploads.begin(
        actor.id,
        label=tus.read_label(metadata),
        length=upload_length,
        content_type=tus.one_line(metadata.get("filetype", ""))[:100],
        sha256=tus.read_sha256(metadata),
    )
    headers = {"Location": f"/api/uploads/{upload.id}", "Upload-Offset": "0"}
    return tus.answer(HTTPStatus.CREATED, headers | tus.expiry(upload))


@router.head("/api/uploads/{upload_id}", summary="How far is it?", response_class=Response)
@allows("member")
def get_upload_offset(
    upload_id: UploadId, workshop: CurrentWorkshop, seen: Seen, tus_resumable: TusVersion = None
) -> Response:
    """Upload-Offset is where to go on: so many bytes are safe."""
    if (refused := tus.other_version(tus_resumable)) is not None:
        return refused
    seen.check_seen("upload", upload_id)
    upload = workshop.uploads.get(upload_id)
    name = base64.b64encode(upload.label.encode()).decode()
    headers = {"Upload-Offset": str(upload.offset), "Upload-Length": str(upload.length), "Cache-Control": "no-store"}
    return tus.answer(HTTPStatus.OK, headers | {"Upload-Metadata": f"filename {name}"} | tus.expiry(upload))


@router.patch(
    "/api/uploads/{upload_id}",
    summary="Go on with an upload",
    status_code=204,
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {tus.BODY_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
@allows("member", noted=False, largest_body=None)
async def append_to_upload(
    upload_id: UploadId,
    request: Request,
    workshop: CurrentWorkshop,
    seen: Seen,
    upload_offset: Annotated[WholeNumber, Header(description="Where these bytes belong.", examples=[0])] = None,
    upload_checksum: Annotated[
        str | None,
        Header(max_length=200, description="An algorithm and the bytes' digest in Base64.", examples=["sha1 Kq5s…"]),
    ] = None,
    tus_resumable: TusVersion = None,
) -> Response:
    """What came before a connection broke is kept, but for a request with a checksum: that counts whole or not at all.

    423 while another request goes on with the same upload, 409 at another offset, 460 for a wrong checksum.
    """
    if (refused := tus.other_version(tus_resumable)) is not None:
        return refused
    if request.headers.get("content-type", "").partition(";")[0].strip() != tus.BODY_TYPE:
        return tus.wrong_type()
    if upload_offset is None:
        raise BadInput("Upload-Offset is needed: where these bytes belong.", "Send that header.")
    checksum = Checksum.parse(upload_checksum)
    upload = await run_in_threadpool(_own, workshop.uploads, seen, upload_id)
    room = upload.length - upload_offset
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > room:
        raise TooLarge(f"The upload has room for {max(room, 0):,} bytes more.", "Send no more than its length.")
    incoming = Incoming(workshop.uploads, upload, upload_offset, checksum)
    if not await incoming.take(request.stream()):
        return tus.wrong_checksum()
    return tus.answer(HTTPStatus.NO_CONTENT, {"Upload-Offset": str(incoming.kept)})


@router.delete("/api/uploads/{upload_id}", summary="Delete an upload", status_code=204, response_class=Response)
@allows("member")
def delete_upload(
    upload_id: UploadId, workshop: CurrentWorkshop, seen: Seen, tus_resumable: TusVersion = None
) -> Response:
    """Whole or not. Refused while a run that isn't over is to read it."""
    if (refused := tus.other_version(tus_resumable)) is not None:
        return refused
    upload = _own(workshop.uploads, seen, upload_id)
    if upload.file is not None:
        _refuse_while_needed(workshop.uploads, upload, seen)
    workshop.uploads.delete(upload_id)
    return tus.answer(HTTPStatus.NO_CONTENT, {})


@router.get("/api/uploads", summary="List uploads")
@allows("member")
def list_uploads(workshop: CurrentWorkshop, seen: Seen, cursor: Cursor = None, limit: Limit = 50) -> UploadPage:
    """Those that you may see, newest first."""
    visible = [upload for upload in workshop.uploads.list() if seen.sees_all or upload.user == seen.actor.id]
    given, following = page(visible, lambda upload: (upload.created, upload.id), cursor, limit)
    return UploadPage(uploads=[_details(upload) for upload in given], next=following)


@router.get("/api/uploads/{upload_id}", summary="One upload")
@allows("member")
def get_upload(upload_id: UploadId, workshop: CurrentWorkshop, seen: Seen) -> UploadDetails:
    """How far it is and, once it was looked into, what is in it."""
    seen.check_seen("upload", upload_id)
    return _details(workshop.uploads.get(upload_id))


@router.get("/api/uploads/{upload_id}/preview", summary="The first documents, read in another way")
@allows("member")
def preview_upload(
    upload_id: UploadId,
    workshop: CurrentWorkshop,
    seen: Seen,
    cut: Annotated[Literal["whole", "lines", "paragraphs"], Query(description="What a document is.")] = "whole",
    text_field: Annotated[str | None, Query(min_length=1, max_length=256, description="Where the text is.")] = None,
    encoding: Annotated[Encoding, Query(description="How the text is encoded.")] = "utf-8",
    limit: Annotated[int, Query(ge=1, le=100, description="At most so many documents.")] = 10,
) -> Inspection:
    """As `collect` would read it with these settings. 422 with the reason where it can't."""
    seen.check_seen("upload", upload_id)
    path = workshop.uploads.path(upload_id)
    reading = CheckRequest(path=path, cut=cut, text_field=text_field, encoding=encoding, previewed=limit, whole=False)
    with workshop.turns.take():
        return workshop.uploads.checker.check(reading)


def _refuse_while_needed(uploads: Uploads, upload: Upload, seen: Seen) -> None:
    """Raises Conflict that names the runs they may see."""
    needed_by = [run for run in uploads.needed_by(upload) if not _is_over(seen.workspace, run)]
    if needed_by:
        named = ", ".join(run for run in needed_by[:5] if seen.sees("run", run)) or "a run of somebody else"
        raise Conflict(f"The upload is to be read by {named}.", "Wait until that is over, or cancel it first.")


def _is_over(workspace: Workspace, run: str) -> bool:
    """What the queue learns a moment later. A run that isn't there yet is about to begin."""
    try:
        return Run.read(workspace.runs.folder / run).state in ("finished", "failed", "cancelled")
    except BadInput:
        return False


def _own(uploads: Uploads, seen: Seen, upload_id: str) -> Upload:
    seen.check_own("upload", upload_id)
    return uploads.get(upload_id)


def _details(upload: Upload) -> UploadDetails:
    return UploadDetails(
        id=upload.id,
        label=upload.label,
        state=upload.state,
        length=upload.length,
        offset=upload.offset,
        content_type=upload.content_type,
        file=upload.file,
        created=upload.created,
        expires=upload.expires,
        reference=f"upload:{upload.id}",
        problem=upload.problem,
        remedy=upload.remedy,
        inspection=upload.inspection,
    )
