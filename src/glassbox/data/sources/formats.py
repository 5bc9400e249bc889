"""Formats of files: from the bytes of a file to the texts of documents, as a stream.

Plain text (also Markdown, and whatever has no suffix listed here), JSON lines, comma- or tab-separated values, Parquet.
Text is UTF-8; a byte order mark is dropped, and a line that ends with CR LF ends with LF afterwards. Whatever is wrong
raises BadInput with the file's name and the place in it.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any, BinaryIO, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from glassbox.data.documents import LARGEST_DOCUMENT, Document, utf8_length
from glassbox.data.sources.archives import Allowance
from glassbox.data.sources.encodings import SAMPLE, Encoding, likely_encoding, transcoded
from glassbox.errors import BadInput

Cut = Literal["whole", "lines", "paragraphs"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
MOST_FIELDS = 100
"""So many fields of a row are shown."""

_PARQUET_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


class Reading(NamedTuple):
    """How texts become documents.

    cut: a text stays whole, or every line or paragraph of it is a document. text_field: the field or column that holds
    the text in formats that have several. encoding: of all but Parquet, which is always UTF-8.
    """

    cut: Cut = "whole"
    text_field: str = "text"
    encoding: Encoding = "utf-8"


def read_texts(stream: BinaryIO, name: str, suffix: str, reading: Reading) -> Iterator[str]:
    """The texts of one file, read from its bytes.

    name: for messages. suffix: ".csv" and so on, which decides the format. Parquet needs a stream that can seek.
    Texts without a visible character are left out; a file without any raises BadInput.
    """
    texts: Iterable[str]
    if reading.encoding != "utf-8" and suffix != ".parquet":
        stream = transcoded(stream, reading.encoding, name)
    if suffix in ROW_READERS:
        texts = ROW_READERS[suffix](stream, name, reading.text_field)
        if reading.cut != "whole":
            texts = (text for row in texts for text in _cut(io.StringIO(row, newline="\n"), reading.cut, name))
    else:
        texts = _cut(_lines(stream, name), reading.cut, name)
    found = False
    for text in texts:
        if text and not text.isspace():
            found = True
            yield text
    if not found:
        raise BadInput(f"{name} holds no text.", "Leave it out, or put text into it.")


def read_first_row(stream: BinaryIO, name: str, suffix: str, encoding: Encoding) -> dict[str, object]:
    """The first row of a file in one of ROW_READERS' formats, field by field: to see what there is to choose from.

    Of a file without rows the fields alone, as far as the format tells them. Raises BadInput.
    """
    if suffix == ".parquet":
        return _first_parquet_row(stream, name)
    lines = _lines(stream if encoding == "utf-8" else transcoded(stream, encoding, name), name)
    if suffix in (".csv", ".tsv"):
        csv.field_size_limit(LARGEST_DOCUMENT)
        rows = csv.reader(lines, delimiter="," if suffix == ".csv" else "\t", strict=True)
        try:
            return {str(name): value for name, value in zip_longest(next(rows, []), next(rows, []))}
        except csv.Error as error:
            raise BadInput(f"Line {rows.line_num:,} of {name} is broken: {error}.", "Repair its quotes.") from error
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if not line.isspace())
    number, line = next(numbered, (1, "{}"))
    return _json_object(line, f"line {number:,} of {name}")


def _first_parquet_row(stream: BinaryIO, name: str) -> dict[str, object]:
    try:
        with pq.ParquetFile(stream) as file:
            names = file.schema_arrow.names[:MOST_FIELDS]
            batch = next(file.iter_batches(batch_size=1, columns=names), None)
            no_row = dict[str, object](dict.fromkeys(names))
            return no_row if batch is None or not batch.num_rows else batch.to_pylist()[0]
    except _PARQUET_DAMAGE as error:
        raise _damaged_parquet(name, error) from error


def _cut(lines: Iterable[str], cut: Cut, name: str) -> Iterator[str]:
    """Whole text, lines without their ends, or paragraphs (what stands between blank lines)."""
    if cut == "lines":
        for line in lines:
            yield line.rstrip("\r\n")
        return
    gathered: list[str] = []
    size = 0
    for line in lines:
        if cut == "paragraphs" and line.isspace():
            yield "".join(gathered).rstrip("\n")
            gathered, size = [], 0
            continue
        gathered.append(line)
        size += len(line)
        if size > LARGEST_DOCUMENT:
            raise BadInput(
                f"{name} holds a text of more than {LARGEST_DOCUMENT:,} characters, too much for one document.",
                "Cut it into documents by lines or paragraphs.",
            )
    text = "".join(gathered)
    yield text.rstrip("\n") if cut == "paragraphs" else text


def _lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Decoded lines with their LF. A line can be decoded alone: in UTF-8 no other character contains LF's byte."""
    offset = 0
    while raw := stream.readline(LARGEST_DOCUMENT + 1):
        if len(raw) > LARGEST_DOCUMENT:
            raise BadInput(
                f"{name} has a line of more than {LARGEST_DOCUMENT:,} bytes (it starts at byte {offset:,}).",
                "Break the line, or leave this file out.",
            )
        text = _decode(raw, offset, name, stream)
        offset += len(raw)
        yield text[:-2] + "\n" if text.endswith("\r\n") else text


def _decode(raw: bytes, offset: int, name: str, rest: BinaryIO) -> str:
    if offset == 0:
        if raw.startswith(UTF_16_MARKS):
            raise BadInput(
                f"{name} is UTF-16 text; UTF-8 is read here.", "Name it with --encoding utf-16, or save it as UTF-8."
            )
        if raw.startswith(BYTE_ORDER_MARK):
            raw, offset = raw[3:], 3
    zero = raw.find(0)
    if zero >= 0:
        raise BadInput(
            f"{name} is binary, not text: byte {offset + zero:,} is zero.", "Leave it out, or convert it to text."
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        guess = likely_encoding(raw[:SAMPLE] + rest.read(SAMPLE))
        looks = f" It looks like {guess}." if guess else ""
        raise BadInput(
            f"{name} is not UTF-8 text: byte {offset + error.start:,} (0x{raw[error.start]:02x}) is an {error.reason}."
            + looks,
            f"Name its encoding with --encoding{f' {guess}' if guess else ''}, or leave it out if it is binary.",
        ) from None


def _json_lines(stream: BinaryIO, name: str, field: str) -> Iterator[str]:
    for number, line in enumerate(_lines(stream, name), start=1):
        if line.isspace():
            continue
        where = f"line {number:,} of {name}"
        row = _json_object(line, where)
        if field not in row:
            raise _missing(where, field, list(row))
        yield _text_of(row[field], field, where)


def _json_object(line: str, where: str) -> dict[str, object]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"JSON was expected in {where}: {error}.", "Repair or remove that line.") from None
    if not isinstance(row, dict):
        raise BadInput(f"A JSON object was expected in {where}, but it is a {type(row).__name__}.", _ROW_REMEDY)
    return row


def _separated(stream: BinaryIO, name: str, field: str, delimiter: str) -> Iterator[str]:
    csv.field_size_limit(LARGEST_DOCUMENT)
    reader = csv.reader(_lines(stream, name), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if header and field not in header:
            raise _missing(f"the first line of {name}", field, header)
        for row in reader:
            if row and len(row) != len(header):
                raise BadInput(
                    f"Line {reader.line_num:,} of {name} ends a row of {len(row)} columns; the first line has "
                    f"{len(header)}.",
                    "Put texts with commas, quotes or line ends between double quotes.",
                )
            if row:
                yield row[header.index(field)]
    except csv.Error as error:
        raise BadInput(
            f"Line {reader.line_num:,} of {name} is broken: {error}.", "Repair its quotes, or remove it."
        ) from error


def _comma_separated(stream: BinaryIO, name: str, field: str) -> Iterator[str]:
    return _separated(stream, name, field, ",")


def _tab_separated(stream: BinaryIO, name: str, field: str) -> Iterator[str]:
    return _separated(stream, name, field, "\t")


def _parquet(stream: BinaryIO, name: str, field: str) -> Iterator[str]:
    allowance = Allowance(stream.seek(0, os.SEEK_END), name)  # one value may stand for a million rows
    try:
        with pq.ParquetFile(stream) as file:
            if field not in file.schema_arrow.names:
                raise _missing(name, field, file.schema_arrow.names)
            for number, batch in enumerate(file.iter_batches(batch_size=256, columns=[field])):
                column = batch.column(0)
                shared = pa.types.is_dictionary(
                    column.type
                )  # then 256 lines may be one text: never all of them at once
                values = (value.as_py() for value in column) if shared else column.to_pylist()
                for row, value in enumerate(values, start=number * 256 + 1):
                    text = _text_of(value, field, f"row {row:,} of {name}")
                    allowance.take(len(text))
                    yield text
    except _PARQUET_DAMAGE as error:
        raise _damaged_parquet(name, error) from error


def _damaged_parquet(name: str, error: Exception) -> BadInput:
    """Says what Arrow says, in one line."""
    reason = str(error).partition("\n")[0].rstrip(".")
    return BadInput(f"{name} is not a whole Parquet file: {reason}.", "Make or fetch it again.")


ROW_READERS: dict[str, Callable[[BinaryIO, str, str], Iterator[str]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _comma_separated,
    ".tsv": _tab_separated,
    ".parquet": _parquet,
}

_ROW_REMEDY = "Write one JSON object a line, with the text in one of its fields."


def _missing(where: str, field: str, there: list[str]) -> BadInput:
    shown = ", ".join(repr(name[:60]) for name in there[:20]) + (", ..." if len(there) > 20 else "")
    return BadInput(
        f"There is no field {field!r} in {where}; it has {shown or 'none'}.",
        "Name the field that holds the text with --text-field.",
    )


def _text_of(value: object, field: str, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(
            f"Text was expected in the field {field!r} of {where}, but it is a {type(value).__name__}.",
            "Name the field that holds the text with --text-field.",
        )
    if utf8_length(Document(value, where)) > LARGEST_DOCUMENT:
        raise BadInput(f"The text in {where} has more than {LARGEST_DOCUMENT:,} bytes.", "Cut it into several rows.")
    return value
