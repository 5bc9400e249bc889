"""What is in a file: counted as anybody would count it, previewed, and refused as `collect` refuses it."""

from __future__ import annotations

import gzip
import io
import json
import statistics
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data import inspection
from glassbox.data.documents import Document
from glassbox.data.inspection import LONGEST_PREVIEW, inspect_file, likely_text_field, measure
from glassbox.errors import BadInput


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1, max_size=20))
def test_documents_are_counted_as_anybody_would_count_them(texts: list[str]) -> None:
    found = measure(Document(text, "a") for text in texts)
    assert found.documents == found.compared == len(texts)
    assert found.bytes == sum(len(text.encode()) for text in texts)
    assert found.characters == sum(map(len, texts))
    assert found.longest_line == max(len(line) for text in texts for line in text.split("\n"))
    assert found.repeated == len(texts) - len(set(texts))
    assert found.lengths is not None
    assert found.lengths.shortest == min(map(len, texts))
    assert found.lengths.median == statistics.median(map(len, texts))
    assert found.lengths.mean == pytest.approx(statistics.mean(map(len, texts)), abs=0.01)
    assert found.lengths.longest == max(map(len, texts))
    assert found.lengths.median <= found.lengths.ninety_percent <= found.lengths.longest


@given(st.lists(st.text("ab\n", max_size=40), max_size=6), st.integers(0, 5))
def test_the_longest_line_is_the_longest_line(texts: list[str], at_least: int) -> None:
    for text in texts:
        assert inspection._longest_line(text, at_least) == max(at_least, *map(len, text.split("\n")), 0)


def test_no_documents_have_no_lengths() -> None:
    assert measure([]).lengths is None


def test_only_so_many_documents_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MOST_COMPARED", 3)
    found = measure([Document("a", "")] * 10)
    assert (found.documents, found.compared, found.repeated) == (10, 3, 2)


def test_tinyshakespeare_is_counted(test_data: Path) -> None:
    found = inspect_file(test_data / "tinyshakespeare.txt", cut="lines")
    lines = [line for line in (test_data / "tinyshakespeare.txt").read_text().split("\n") if line]
    assert found.statistics is not None
    assert found.statistics.documents == len(lines)
    assert found.statistics.longest_line == max(map(len, lines))
    assert found.statistics.repeated == len(lines) - len(set(lines))
    assert [document.text for document in found.preview] == lines[:10]
    assert found.fields == []
    assert found.text_field is None


def test_a_long_document_is_shown_by_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 10_000)
    [document] = inspect_file(tmp_path / "a.txt").preview
    assert document.text == "x" * LONGEST_PREVIEW
    assert document.characters == 10_000
    assert document.source == "a.txt"


ROWS = [{"id": 1, "title": "A", "body": "once upon a time"}, {"id": 2, "title": "B", "body": "and then"}]


def files_of_rows(folder: Path) -> list[Path]:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    values = "id,title,body\n" + "".join(f'{row["id"]},{row["title"]},"{row["body"]}"\n' for row in ROWS)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data/rows.jsonl", lines)
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "a.parquet")
    (folder / "a.jsonl").write_text("\n" + lines)
    (folder / "a.csv").write_text(values)
    (folder / "a.tsv").write_text(values.replace(",", "\t"))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "a.zip").write_bytes(packed.getvalue())
    return sorted(folder.iterdir())


def test_rows_show_their_fields_and_the_one_with_most_text_is_read(tmp_path: Path) -> None:
    for path in files_of_rows(tmp_path):
        found = inspect_file(path)
        assert [field.name for field in found.fields] == ["id", "title", "body"]
        assert found.fields[2].kind == "text"
        assert found.fields[2].beginning == "once upon a time"
        assert found.text_field == "body"
        assert [document.text for document in found.preview] == [row["body"] for row in ROWS]


def test_another_field_can_be_named(tmp_path: Path) -> None:
    for path in files_of_rows(tmp_path):
        assert [document.text for document in inspect_file(path, text_field="title").preview] == ["A", "B"]
        with pytest.raises(BadInput, match="no field 'nothing'"):
            inspect_file(path, text_field="nothing")


def test_a_field_called_text_comes_first() -> None:
    assert likely_text_field({"long": "x" * 99, "text": None}) == "text"
    assert likely_text_field({"long": "x" * 99, "short": "x", "number": 5}) == "long"
    assert likely_text_field({"number": 5}) is None
    assert likely_text_field(None) is None


def test_a_mere_preview_reads_no_further_than_it_shows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\nbroken')
    found = inspect_file(tmp_path / "a.jsonl", previewed=2, whole=False)
    assert [document.text for document in found.preview] == ["one", "two"]
    assert found.statistics is None
    with pytest.raises(BadInput, match=r"JSON was expected in line 3 of a\.jsonl"):
        inspect_file(tmp_path / "a.jsonl")


def test_another_encoding_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text\nGrüße\n".encode("cp1252"))
    with pytest.raises(BadInput, match="not UTF-8"):
        inspect_file(tmp_path / "a.csv")
    assert inspect_file(tmp_path / "a.csv", encoding="cp1252").preview[0].text == "Grüße"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "holds no text"),
        ("a.csv", b"", "holds no text"),
        ("a.csv", b"text\n", "holds no text"),
        ("a.csv", b'text\n"open', r"Line 2 of a\.csv is broken"),
        ("a.csv", b'"a\n', r"Line 1 of a\.csv is broken"),
        ("a.jsonl", b"[1]", "JSON object was expected in line 1"),
        ("a.jsonl", b"\n\n", "holds no text"),
        ("a.jsonl", b'{"n": 1}', "no field 'text'"),
        ("a.parquet", b"PAR1", "not a whole Parquet file"),
        ("a.zip", b"PK", "damaged archive"),
        ("a.txt.gz", b"PK", "damaged archive"),
        ("a.7z", b"7z", "an archive of a kind"),
        ("a.txt", b"a\0b", "byte 1 is zero"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=reason):
        inspect_file(tmp_path / name)


def test_parquet_without_rows_still_shows_its_fields(tmp_path: Path) -> None:
    from glassbox.data.sources.files import first_row

    pq.write_table(pa.table({"a": pa.array([], pa.string()), "b": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    assert first_row(tmp_path / "a.parquet", "utf-8") == {"a": None, "b": None}
