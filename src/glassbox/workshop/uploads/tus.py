"""tus 1.0.0: what its headers say, and answers as its clients expect them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from fastapi import Response
from fastapi.responses import JSONResponse

from glassbox.errors import BadInput
from glassbox.workshop.problems import MEDIA_TYPE, ProblemDetails
from glassbox.workshop.requests import request_id
from glassbox.workshop.uploads.incoming import from_base64
from glassbox.workshop.uploads.uploads import Upload

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,checksum,termination"
BODY_TYPE = "application/offset+octet-stream"
CHECKSUM_MISMATCH = 460  # a status of tus
LONGEST_LABEL = 255
_SHA256 = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


def answer(status: HTTPStatus, headers: Mapping[str, str]) -> Response:
    """An answer without a body."""
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **headers})


def expiry(upload: Upload) -> dict[str, str]:
    """When nobody goes on with it."""
    return {} if upload.expires is None else {"Upload-Expires": formatdate(upload.expires, usegmt=True)}


def other_version(header: str | None) -> Response | None:
    """The refusal of a client that speaks another version. One that says nothing isn't refused: curl is welcome."""
    if header in (None, VERSION):
        return None
    detail = f"This is tus {VERSION}, and the client speaks another version."
    return refusal(HTTPStatus.PRECONDITION_FAILED, detail, f"Use {VERSION}.", {"Tus-Version": VERSION})


def wrong_type() -> Response:
    """The refusal of bytes of another type."""
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return refusal(status, "The bytes of an upload have another type.", f"Send them as {BODY_TYPE}.")


def wrong_checksum() -> Response:
    """The refusal of bytes that changed on their way."""
    detail = "The bytes have another checksum than was sent with them."
    return refusal(CHECKSUM_MISMATCH, detail, "Send these bytes again; nothing of them was kept.")


def refusal(status: int, detail: str, remedy: str, headers: Mapping[str, str] | None = None) -> Response:
    """problem+json with the headers that tus wants, also for its own status."""
    title = "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase
    details = ProblemDetails(
        type="about:blank", title=title, status=status, detail=detail, remedy=remedy, id=request_id(), fields=None
    )
    return JSONResponse(
        details.model_dump(exclude_none=True),
        status_code=int(status),
        headers={"Tus-Resumable": VERSION, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def read_metadata(header: str) -> dict[str, str]:
    """Upload-Metadata: keys, each with a value in Base64 or without one. Raises BadInput."""
    found: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in header.split(","))):
        key, _, value = pair.partition(" ")
        if key in found:
            raise BadInput(f"Upload-Metadata has the key {key[:40]!r} twice.", "Send each key once.")
        found[key] = from_base64(value.strip(), "Upload-Metadata").decode(errors="replace")
    return found


def one_line(text: str) -> str:
    """A person's words as a label: what can't be printed becomes a space."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def read_label(metadata: Mapping[str, str]) -> str:
    """What the file is called, at its longest with the end, which tells the most."""
    return one_line(metadata.get("filename", ""))[-LONGEST_LABEL:] or "unnamed"


def read_sha256(metadata: Mapping[str, str]) -> str | None:
    """The digest that the whole file should have, in hexadecimal. Raises BadInput."""
    text = metadata.get("sha256")
    if text is None:
        return None
    if not _SHA256.fullmatch(text):
        raise BadInput("A SHA-256 in Upload-Metadata has 64 hexadecimal digits.", "Send it so, or leave it out.")
    return text.lower()
