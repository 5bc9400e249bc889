"""Archives made to do harm: each is refused with the member and the reason, and none fills memory or disk."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tempfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.sources import zip_directory
from glassbox.data.sources.files import FilesReport, read_files
from glassbox.data.sources.formats import Reading
from glassbox.errors import BadInput


def read(path: Path) -> list[str]:
    return [document.text for document in read_files(path, Reading(), FilesReport())]


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def zipped(*members: tuple[str, bytes], mode: int = 0, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice, on purpose
        for name, content in members:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = compression
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


REFUSED = {
    "link": (zipped(("a.txt", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), r"x\.zip/a\.txt is a link, not a file"),
    "pipe": (zipped(("a.txt", b""), mode=stat.S_IFIFO), r"x\.zip/a\.txt is a device or a pipe"),
    "twice": (zipped(("a.txt", b"1"), ("a.txt", b"2")), r"holds two files named 'a\.txt'"),
    "twice after slashes": (zipped(("a/b.txt", b"1"), ("a//b.txt", b"2")), r"holds two files named 'a/b\.txt'"),
    "drive": (zipped(("C:\\windows\\a.txt", b"1")), "a path that leads out"),
    "climbing": (zipped(("a/../../b.txt", b"1")), "a path that leads out"),
    "no end": (zipped(("a.txt", b"1"))[:-22], "damaged archive: it has no end"),
    "nothing": (b"", "damaged archive: it has no end"),
    "cut end": (zipped(("a.txt", b"1"))[:-1], "damaged archive"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_archive_made_to_do_harm_is_refused(tmp_path: Path, kind: str) -> None:
    content, reason = REFUSED[kind]
    with pytest.raises(BadInput, match=reason):
        read(put(tmp_path / "x.zip", content))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_that_python_knows_is_read(tmp_path: Path, compression: int) -> None:
    content = zipped(("b.txt", b"two"), ("a.txt", b"one"), compression=compression)
    assert read(put(tmp_path / "x.zip", content)) == ["one", "two"]


def test_a_list_of_files_is_measured_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(*((f"{number}.txt", b"x") for number in range(100)))
    monkeypatch.setattr(zip_directory, "LONGEST_DIRECTORY", 1000)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(BadInput, match=r"lists its files in [5-6],\d+ bytes; 1,000 are read"):
        read(put(tmp_path / "x.zip", content))


def test_also_the_list_of_a_large_archive(tmp_path: Path) -> None:
    plain = zipped(("a.txt", b"x"))
    end = plain.rindex(b"PK\5\6")
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10**8, 10**8, 10**10, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    lying = plain[:end] + large + locator + plain[end:]
    with pytest.raises(BadInput, match="lists its files in 10,000,000,000 bytes"):
        read(put(tmp_path / "x.zip", lying))
    with pytest.raises(BadInput, match="lists its files in 4,294,967,295 bytes"):
        read(put(tmp_path / "y.zip", plain[: end + 12] + b"\xff" * 4 + plain[end + 16 :]))


def test_a_comment_may_stand_behind_the_end(tmp_path: Path) -> None:
    path = put(tmp_path / "x.zip", zipped(("a.txt", b"one")))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"c" * 65_535
    assert read(path) == ["one"]


def test_overlapping_members_count_each_time_they_are_unpacked(tmp_path: Path) -> None:
    """One compressed kernel that a thousand names point to (Fifield, "A better zip bomb", 2019)."""
    one = zipped(("a.txt", b"x" * 1_000_000 + b"\n"))
    header, entry = one[: one.index(b"PK\1\2")], one[one.index(b"PK\1\2") : one.index(b"PK\5\6")]
    entries = b"".join(entry.replace(b"a.txt", b"%05d" % number) for number in range(1000))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1000, 1000, len(entries), len(header), 0)
    with pytest.raises(BadInput, match=r"unpacks to more than 200 times its size|damaged archive|differ"):
        read(put(tmp_path / "x.zip", header + entries + end))


def test_bombs_of_every_compression_take_little_memory(tmp_path: Path) -> None:
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = put(tmp_path / "x.zip", zipped(("a.txt", (b"x" * 999_999 + b"\n") * 40), compression=compression))
        tracemalloc.start()
        with pytest.raises(BadInput, match="unpacks to more than 200 times its size"):
            for _ in read_files(path, Reading("lines"), FilesReport()):
                pass
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
        tracemalloc.stop()


def test_one_value_of_parquet_does_not_stand_for_a_million(tmp_path: Path) -> None:
    text = "x" * 100_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array([text]))
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": column}), path)
    assert path.stat().st_size < 20_000
    with pytest.raises(BadInput, match=r"x\.parquet unpacks to more than 200 times its size"):
        for _ in read_files(path, Reading(), FilesReport()):
            pass


SOUND = [zipped(("a.txt", b"one\n" * 50), ("b/c.jsonl", b'{"text": "two"}\n')), gzip.compress(b"one\n" * 50)]


@given(st.data())
def test_damage_anywhere_is_bad_input_or_no_harm(data: st.DataObject) -> None:
    which = data.draw(st.sampled_from([0, 1]))
    content = bytearray(SOUND[which])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    with tempfile.TemporaryDirectory() as name:
        path = put(Path(name, ("x.zip", "x.txt.gz")[which]), bytes(content))
        try:
            texts = read(path)
        except BadInput as error:
            assert "x." in error.problem
        else:
            assert texts
