"""What is in a file that somebody brings: can it be read, how many documents does it give, what do they look like?

Read exactly as `collect` will read it, as a stream: what passes here can be collected, and what is refused here is
refused there with the same sentence.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from glassbox.data.documents import Document, utf8_length
from glassbox.data.sources.encodings import Encoding
from glassbox.data.sources.files import FilesReport, first_row, read_files
from glassbox.data.sources.formats import MOST_FIELDS, Cut, Reading

LONGEST_PREVIEW = 2_000
MOST_COMPARED = 1_000_000


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowField(_Shown):
    """A field or column that the text could be in."""

    name: str
    kind: str = Field(description="What it holds in the first row: text, number, nothing, list …")
    beginning: str = Field(description="The beginning of its value in the first row.")


class PreviewedDocument(_Shown):
    """A document, or its beginning."""

    text: str = Field(description=f"At most {LONGEST_PREVIEW:,} characters of it.")
    source: str = Field(description="Where it stands: the file, and in an archive the path there.")
    characters: int = Field(description="Of the whole document.")


class Lengths(_Shown):
    """Of the documents, in characters."""

    shortest: int
    median: float
    mean: float
    ninety_percent: float = Field(description="So long or shorter are nine of ten.")
    longest: int


class Statistics(_Shown):
    """Counted over all documents."""

    documents: int
    bytes: int = Field(description="Of the texts in UTF-8.")
    characters: int
    lengths: Lengths | None = Field(description="None where there is no document.")
    longest_line: int = Field(description="In characters.")
    repeated: int = Field(description="Documents that are the same as an earlier one, to the character.")
    compared: int = Field(description=f"Of so many, the first ones; {MOST_COMPARED:,} at most.")


class Inspection(_Shown):
    """A file that can be read. Files without rows have no fields."""

    fields: list[RowField]
    text_field: str | None = Field(description="The field that the text was taken from.")
    preview: list[PreviewedDocument] = Field(description="The first documents.")
    statistics: Statistics | None = Field(description="None in a mere preview.")


def inspect_file(
    path: Path,
    *,
    cut: Cut = "whole",
    text_field: str | None = None,
    encoding: Encoding = "utf-8",
    previewed: int = 10,
    whole: bool = True,
) -> Inspection:
    """Read a file, or only as far as `previewed` documents go, unless `whole`.

    text_field: None chooses, of the first row's fields with text, the one called text, else the one with most of it.

    Raises BadInput, with the member and the line, for whatever can't be read.
    """
    row = first_row(path, encoding)
    if text_field is None:
        text_field = likely_text_field(row)
    reading = Reading(cut, text_field or "text", encoding)
    documents = read_files(path, reading, FilesReport())
    preview: list[PreviewedDocument] = []
    if whole:
        statistics = measure(_noted(documents, preview, previewed))
    else:
        statistics = None
        for _ in _noted(islice(documents, previewed), preview, previewed):
            pass
    fields = [_field(name, value) for name, value in islice((row or {}).items(), MOST_FIELDS)]
    return Inspection(
        fields=fields, text_field=text_field if row is not None else None, preview=preview, statistics=statistics
    )


def likely_text_field(row: dict[str, object] | None) -> str | None:
    """The field of a first row that most likely holds the text; None without a row, or without text in it."""
    texts = {name: value for name, value in (row or {}).items() if isinstance(value, str)}
    if "text" in (row or {}):
        return "text"
    return max(texts, key=lambda name: len(texts[name]), default=None)


def measure(documents: Iterable[Document]) -> Statistics:
    """Count documents as a stream; 4 bytes a document are kept, and 8 for each that is compared."""
    lengths = array("I")
    total_bytes = longest_line = repeated = 0
    seen: set[bytes] = set()
    for document in documents:
        lengths.append(len(document.text))
        total_bytes += utf8_length(document)
        longest_line = max(longest_line, _longest_line(document.text, longest_line))
        if len(lengths) <= MOST_COMPARED:
            before = len(seen)
            seen.add(hashlib.blake2b(document.text.encode(), digest_size=8).digest())
            repeated += len(seen) == before
    return Statistics(
        documents=len(lengths),
        bytes=total_bytes,
        characters=sum(lengths),
        lengths=_lengths(lengths),
        longest_line=longest_line,
        repeated=repeated,
        compared=min(len(lengths), MOST_COMPARED),
    )


def previewed_document(document: Document) -> PreviewedDocument:
    """The beginning of a document."""
    text = document.text
    return PreviewedDocument(text=text[:LONGEST_PREVIEW], source=document.source[:500], characters=len(text))


def _noted(documents: Iterable[Document], preview: list[PreviewedDocument], most: int) -> Iterable[Document]:
    for document in documents:
        if len(preview) < most:
            preview.append(previewed_document(document))
        yield document


def _longest_line(text: str, at_least: int) -> int:
    """Looks only where a longer line than `at_least` could be: no copy of the text is made."""
    longest, start = at_least, 0
    while start + longest < len(text):
        # A line is longer if no end stands in the next `longest + 1` characters; else go on behind the last one.
        end = text.rfind("\n", start, start + longest + 1)
        if end >= 0:
            start = end + 1
            continue
        end = text.find("\n", start + longest)
        end = len(text) if end < 0 else end
        longest, start = end - start, end + 1
    return longest


def _lengths(lengths: array[int]) -> Lengths | None:
    if not lengths:
        return None
    found = np.frombuffer(lengths, dtype=np.uint32)
    return Lengths(
        shortest=int(found.min()),
        median=float(np.median(found)),
        mean=round(float(found.mean()), 2),
        ninety_percent=float(np.quantile(found, 0.9)),
        longest=int(found.max()),
    )


def _field(name: str, value: object) -> RowField:
    kinds = ((str, "text"), (bool, "yes or no"), (int | float, "number"), (list, "list"), (dict, "object"))
    kind = "nothing" if value is None else next((word for kind, word in kinds if isinstance(value, kind)), "other")
    return RowField(name=name[:200], kind=kind, beginning="" if value is None else str(value)[:100])
