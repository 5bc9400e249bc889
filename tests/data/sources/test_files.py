"""Local files: every format gives its documents, and every hostile file one sentence with its name."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.documents import Document
from glassbox.data.sources import archives, formats
from glassbox.data.sources.files import FilesReport, read_files
from glassbox.data.sources.formats import Cut, Reading
from glassbox.errors import BadInput

visible = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1).filter(
    lambda text: not text.isspace() and not text.startswith("\ufeff")
)


def read(path: Path, cut: Cut = "whole", text_field: str = "text", skip: bool = False) -> list[str]:
    documents = read_files(path, Reading(cut, text_field), FilesReport(), skip_unreadable=skip)
    return [document.text for document in documents]


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


FORMATS: dict[str, Callable[[list[str]], bytes]] = {
    "jsonl": lambda texts: "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode(),
    "ndjson": lambda texts: "".join(
        json.dumps({"text": text}, ensure_ascii=False) + "\r\n\n" for text in texts
    ).encode(),
    "csv": lambda texts: _separated(texts, ","),
    "tsv": lambda texts: _separated(texts, "\t"),
    "parquet": lambda texts: parquet(text=list[object](texts), label=[1] * len(texts)),
}


def _separated(texts: list[str], delimiter: str) -> bytes:
    import csv

    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["label", "text"], *([7, text] for text in texts)])
    return buffer.getvalue().encode()


@pytest.mark.parametrize("suffix", FORMATS)
@given(texts=st.lists(visible, min_size=1, max_size=5))
def test_rows_come_back_from_every_format_also_packed(suffix: str, texts: list[str]) -> None:
    if suffix == "ndjson":  # raw line separators within a line of JSON aren't JSON lines
        texts = [text.replace("\n", " ") for text in texts]
    content = FORMATS[suffix](texts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert read(put(folder / f"a.{suffix}", content)) == texts
        assert read(put(folder / f"b.{suffix}.gz", gzip.compress(content))) == texts
        assert read(put(folder / "c.zip", zipped({f"inner/d.{suffix}": content}))) == texts


@given(visible)
def test_a_text_file_is_one_document_as_it_stands(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file in ("a.txt", "b.md", "c", "d.log"):
            assert read(put(Path(name, file), text.encode())) == [text]


@given(st.text("ab \n", min_size=1).filter(lambda text: not text.isspace()))
def test_lines_and_paragraphs_of_text_and_of_rows_are_the_same(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        plain = put(Path(name, "a.txt"), text.encode())
        rows = put(Path(name, "b.jsonl"), json.dumps({"text": text}).encode())
        assert read(plain, "lines") == [line for line in text.split("\n") if line.strip()] == read(rows, "lines")
        paragraphs = read(plain, "paragraphs")
        assert paragraphs == read(rows, "paragraphs")
        assert "\n".join(paragraphs).split() == text.split()
        assert not any("\n\n" in paragraph for paragraph in paragraphs)


def test_names_are_one_document_a_line(test_data: Path) -> None:
    names = read(test_data / "names.txt", "lines")
    assert len(names) == 32_033
    assert names[:2] == ["emma", "olivia"]


def test_tinyshakespeare_stays_whole(test_data: Path) -> None:
    assert read(test_data / "tinyshakespeare.txt") == [(test_data / "tinyshakespeare.txt").read_text()]


def test_a_byte_order_mark_and_windows_line_ends_leave_no_trace(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\ntwo\r\n")) == ["one\ntwo\n"]
    assert read(put(tmp_path / "b.csv", b"\xef\xbb\xbftext\r\none\r\n")) == ["one"]


def test_another_field_can_hold_the_text(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.jsonl", b'{"body": "x", "text": 3}'), text_field="body") == ["x"]
    assert read(put(tmp_path / "b.parquet", parquet(body=["y", None, ""])), text_field="body") == ["y"]


def test_a_folder_is_read_in_the_order_of_its_paths_with_relative_sources(tmp_path: Path) -> None:
    put(tmp_path / "b.txt", b"2")
    put(tmp_path / "a/z.txt", b"1")
    put(tmp_path / "c.zip", zipped({"y.txt": b"4", "x.md": b"3", "__MACOSX/._x.md": b"\0"}))
    report = FilesReport()
    documents = list(read_files(tmp_path, Reading(), report))
    assert documents == [
        Document("1", "a/z.txt"),
        Document("2", "b.txt"),
        Document("3", "c.zip/x.md"),
        Document("4", "c.zip/y.txt"),
    ]
    assert report.files == 3
    assert report.bytes_read == report.bytes_total == 2 + (tmp_path / "c.zip").stat().st_size


BOMB = (b"boom" * 1000 + b"\n") * 10_000

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty.txt": (b"", "holds no text"),
    "blank.md": (b" \n\n\t\n", "holds no text"),
    "empty.csv": (b"", "holds no text"),
    "latin.txt": (
        "gr\xfc\xdfe\n".encode() + "gr\xfc\xdfe".encode("latin1"),
        r"byte 10 \(0xfc\) is an invalid start byte",
    ),
    "cut.txt": ("grü".encode()[:-1], r"byte 2 \(0xc3\) is an unexpected end of data"),
    "binary.dat": (b"\x7fELF\x01\0\0", "is binary, not text: byte 5 is zero"),
    "wide.txt": ("text".encode("utf-16"), "is UTF-16 text"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', r"JSON was expected in line 2 of broken\.jsonl"),
    "deep.jsonl": (b"[" * 200_000, "JSON was expected in line 1"),
    "list.jsonl": (b"[1]\n", "JSON object was expected in line 1 of list.jsonl, but it is a list"),
    "field.jsonl": (
        b'{"body": "a", "label": 1}\n',
        r"no field 'text' in line 1 of field\.jsonl; it has 'body', 'label'",
    ),
    "number.jsonl": (b'{"text": 5}\n', "Text was expected in the field 'text' of line 1"),
    "half.jsonl": (b'{"text": "\\ud83d"}\n', "half of a surrogate pair"),
    "column.csv": (b"id;body\n1;2\n", r"no field 'text' in the first line of column\.csv; it has 'id;body'"),
    "quote.csv": (b'text\n"open\n', r"Line 2 of quote\.csv is broken"),
    "wide.csv": (b"text,b\n1,2\n1,2,3\n", r"Line 3 of wide\.csv ends a row of 3 columns; the first line has 2"),
    "many.csv": ((",".join(f"c{n}" for n in range(50)) + "\n").encode(), r"'c19', \.\.\."),
    "broken.parquet": (b"PAR1 not at all", "is not a whole Parquet file"),
    "column.parquet": (parquet(body=["a"]), r"no field 'text' in column\.parquet; it has 'body'"),
    "number.parquet": (parquet(text=[1]), r"in the field 'text' of row 1 of number\.parquet, but it is a int"),
    "cut.txt.gz": (gzip.compress(b"text" * 100)[:-9], "is a damaged archive"),
    "not.txt.gz": (b"plain text", "is a damaged archive"),
    "rotten.txt.gz": (gzip.compress(os.urandom(999))[:100] + b"\xff" * 500, "is a damaged archive|is binary|not UTF-8"),
    "bomb.txt.gz": (gzip.compress(BOMB), r"bomb\.txt\.gz unpacks to more than 200 times its size"),
    "tape.tar.gz": (gzip.compress(b"x"), "is an archive of a kind"),
    "seven.7z": (b"7z", "is an archive of a kind"),
    "bomb.zip": (zipped({"a.txt": BOMB}), r"bomb\.zip unpacks to more than 200 times its size"),
    "many.zip": (zipped({f"{n}.txt": BOMB[:4_001_000] for n in range(9)}), "unpacks to more than 200 times"),
    "climbing.zip": (zipped({"../../passwd": b"x"}), r"'\.\./\.\./passwd', a path that leads out of the archive"),
    "root.zip": (zipped({"/etc/passwd": b"x"}), "leads out of the archive"),
    "windows.zip": (zipped({"..\\x.txt": b"x"}), "leads out of the archive"),
    "nested.zip": (zipped({"inner.zip": zipped({"a.txt": b"x"})}), r"nested\.zip/inner\.zip is an archive"),
    "none.zip": (zipped({}), "is an empty archive"),
    "not.zip": (b"PK not really", "is a damaged archive"),
    "member.zip": (zipped({"a.txt": b"fine", "b.txt": b"\xff"}), r"member\.zip/b\.txt is not UTF-8"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_name_with_the_reason(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    path = put(tmp_path / name, content)
    with pytest.raises(BadInput, match=reason) as caught:
        read(path)
    assert name in caught.value.problem
    assert caught.value.remedy


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"secret"}))
    data[6] |= 1  # the flag in the member's own header
    data[data.rindex(b"PK\1\2") + 8] |= 1  # and in the directory
    with pytest.raises(BadInput, match=r"locked\.zip/a\.txt needs a password"):
        read(put(tmp_path / "locked.zip", bytes(data)))


def test_a_compression_that_python_lacks_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"text"}))
    data[8] = data[data.rindex(b"PK\1\2") + 10] = 97
    with pytest.raises(BadInput, match=r"odd\.zip is a damaged archive: .*compression"):
        read(put(tmp_path / "odd.zip", bytes(data)))


def test_an_archive_that_lies_about_sizes_does_not_get_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "EXPANSION_FLOOR", 1000)
    monkeypatch.setattr(archives, "LARGEST_EXPANSION", 2)
    data = bytearray(zipped({"a.txt": b"a\n" * 100_000}))
    directory = data.rindex(b"PK\1\2")
    data[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    with pytest.raises(BadInput, match=r"liar\.zip"):
        read(put(tmp_path / "liar.zip", bytes(data)))


def test_gigabyte_lines_and_texts_are_refused_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "LARGEST_DOCUMENT", 100)
    with pytest.raises(BadInput, match=r"long\.txt has a line of more than 100 bytes \(it starts at byte 6\)"):
        read(put(tmp_path / "long.txt", b"short\n" + b"x" * 101))
    many = put(tmp_path / "many.txt", b"short\n" * 20)
    with pytest.raises(BadInput, match=r"many\.txt holds a text of more than 100 characters"):
        read(many)
    assert read(many, "lines") == ["short"] * 20
    with pytest.raises(BadInput, match=r"The text in row 1 of long\.parquet has more than 100 bytes"):
        read(put(tmp_path / "long.parquet", parquet(text=["x" * 101])))


def test_a_large_csv_field_is_no_error(tmp_path: Path) -> None:
    text = "many words " * 50_000
    assert read(put(tmp_path / "a.csv", f'text\n"{text}"\n'.encode())) == [text]


def test_one_bad_file_in_a_folder_stops_everything_unless_asked_otherwise(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", b"good")
    put(tmp_path / "b.txt", b"\xff")
    put(tmp_path / "c.jsonl", b'{"text": "first"}\n{"text": "second"}\nbroken\n')
    put(tmp_path / ".hidden/d.txt", b"hidden")
    with pytest.raises(BadInput, match=r"b\.txt is not UTF-8"):
        read(tmp_path)
    report = FilesReport()
    documents = list(read_files(tmp_path, Reading(), report, skip_unreadable=True))
    assert [document.text for document in documents] == ["good", "first", "second"]
    assert [skipped.file for skipped in report.skipped] == [".hidden", "b.txt", "c.jsonl"]
    assert report.skipped[0].reason == "hidden"
    assert "not UTF-8" in report.skipped[1].reason
    assert report.skipped[2].reason.endswith("What came before (2 documents) was kept, the rest left out.")


def test_a_folder_of_nothing_but_bad_files_is_refused_with_the_reasons(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", b"\xff")
    with pytest.raises(BadInput, match=r"holds no file that can be read as text\.\n  a\.txt: a\.txt is not UTF-8"):
        read(tmp_path, skip=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no file"):
        read(tmp_path / "empty")


def test_links_in_a_circle_are_passed_over_and_said_so(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", b"text")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "linked.txt").symlink_to("a.txt")
    report = FilesReport()
    assert len(list(read_files(tmp_path, Reading(), report))) == 2
    assert report.skipped == [("again", "a link to a folder")]
    (tmp_path / "self").symlink_to("self")
    with pytest.raises(BadInput, match="self cannot be read"):
        read(tmp_path)


def test_paths_that_are_no_files_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.txt cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.txt")
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(BadInput, match="broken cannot be read: the link leads nowhere"):
        read(tmp_path / "broken")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="pipe is a device or a pipe"):
        read(tmp_path / "pipe")
    for path in (Path("/dev/null"), Path("a\0b"), Path("x" * 5000)):
        with pytest.raises(BadInput):
            read(path)


def test_a_file_name_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/na\xffme.txt"))
    put(path, b"text")
    assert list(read_files(tmp_path, Reading(), FilesReport())) == [Document("text", "na\ufffdme.txt")]


def test_what_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "secret/a.txt", b"x")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path.parent))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        with pytest.raises(BadInput, match=r"a\.txt cannot be opened: Permission denied"):
            read(path)
    put(tmp_path / "b.txt", b"fine")
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: denied() if str(place).endswith("secret") else scandir(place))
    with pytest.raises(BadInput, match=r"The folder .*secret cannot be read: Permission denied"):
        read(tmp_path)
    assert read(tmp_path, skip=True) == ["fine"]
