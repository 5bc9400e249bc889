"""The process that looks into one file: `python -m glassbox.workshop.uploads.check_process`.

A request as JSON comes by standard input, the answer goes to standard output as JSON: an inspection, or problem and
remedy. Before the file is opened the process takes limits on itself, so that a file made to do harm meets them and not
the server: memory, processor time, what it may write.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from glassbox.data.inspection import Inspection, inspect_file
from glassbox.data.sources.encodings import Encoding
from glassbox.errors import BadInput

MEMORY = 4 * 2**30  # bytes of addresses, which is about twice what it really takes
SECONDS = 1800  # of processor time
TEMPORARY_FILES = 4 * 2**30  # bytes; Parquet inside of an archive is unpacked into one


class CheckRequest(BaseModel):
    """What to look into, and how to read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    cut: Literal["whole", "lines", "paragraphs"] = "whole"
    text_field: str | None = None
    encoding: Encoding = "utf-8"
    previewed: int = 10
    whole: bool = True
    sha256: str | None = None


class CheckAnswer(BaseModel):
    """What was found, or why it can't be read."""

    inspection: Inspection | None = None
    problem: str | None = None
    remedy: str | None = None


def answer(request: CheckRequest) -> CheckAnswer:
    """Look into the file. Never raises what the file is to blame for."""
    try:
        if request.sha256 is not None:
            _compare(request.path, request.sha256)
        return CheckAnswer(
            inspection=inspect_file(
                request.path,
                cut=request.cut,
                text_field=request.text_field,
                encoding=request.encoding,
                previewed=request.previewed,
                whole=request.whole,
            )
        )
    except BadInput as error:
        return CheckAnswer(problem=error.problem, remedy=error.remedy)
    except MemoryError:
        return CheckAnswer(
            problem=f"{request.path.name} needs more than {MEMORY // 2**30} GiB of memory to be read.",
            remedy="Cut it into smaller documents, or into several files.",
        )


def _compare(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise BadInput(
            f"{path.name} has the SHA-256 {found}, and {expected} was announced.",
            "Upload it again; something changed it on its way, or before.",
        )


def _take_limits() -> None:
    os.nice(10)
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, TEMPORARY_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Answer one request."""
    request = CheckRequest.model_validate(json.load(sys.stdin))
    _take_limits()
    sys.stdout.write(answer(request).model_dump_json())


if __name__ == "__main__":
    main()
