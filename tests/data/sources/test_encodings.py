"""Texts that aren't UTF-8: read as what a person says they are, and never by a guess."""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.sources import encodings
from glassbox.data.sources.encodings import Encoding, likely_encoding, transcoded
from glassbox.data.sources.files import FilesReport, read_files
from glassbox.data.sources.formats import Reading
from glassbox.errors import BadInput

GERMAN = "Es war einmal ein König, der hatte eine Tochter, die war über alle Maßen schön. Größe und Würde, Äpfel!\n" * 5
TEXTS: dict[Encoding, str] = {
    "utf-16": GERMAN,
    "utf-16-le": GERMAN,
    "utf-16-be": GERMAN,
    "utf-32": GERMAN,
    "latin-1": GERMAN,
    "iso-8859-2": "Zażółć gęślą jaźń\n",
    "iso-8859-15": "Zehn € kostet das Œuvre\n",
    "cp1250": "Příliš žluťoučký kůň\n",
    "cp1251": "В некотором царстве, в некотором государстве жил-был царь, и было у него три сына.\n",
    "cp1252": GERMAN,
    "koi8-r": "В некотором царстве, в некотором государстве жил-был царь, и было у него три сына.\n",
    "shift_jis": "昔々あるところに\n",
    "euc_jp": "昔々あるところに\n",
    "euc_kr": "옛날 옛적에\n",
    "gb18030": "从前有座山\n",
    "big5": "從前有座山\n",
    "utf-8": GERMAN,
}


def read(path: Path, encoding: Encoding = "utf-8") -> list[str]:
    return [document.text for document in read_files(path, Reading(encoding=encoding), FilesReport())]


@pytest.mark.parametrize("encoding", get_args(Encoding))
def test_a_text_of_every_encoding_is_read_when_it_is_named(tmp_path: Path, encoding: Encoding) -> None:
    text = TEXTS[encoding]
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode(encoding)))
    (tmp_path / "c.csv").write_bytes(f'text\n"{text}"'.encode(encoding))
    assert read(tmp_path, encoding) == [text] * 3


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp1251"])
def test_another_encoding_is_refused_with_a_guess(tmp_path: Path, encoding: Encoding) -> None:
    text = TEXTS[encoding]
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(BadInput, match=r"a\.txt is not UTF-8 text: byte \d+ .* It looks like [a-z0-9-]+\.") as caught:
        read(tmp_path / "a.txt")
    guess = caught.value.problem.rpartition("like ")[2].rstrip(".")
    assert f"--encoding {guess}" in caught.value.remedy
    assert read(tmp_path / "a.txt", guess) == [text]  # pyright: ignore[reportArgumentType]  (it is one of them)


def test_what_is_no_text_gets_no_guess() -> None:
    assert likely_encoding(bytes(range(256)) * 20) is None


def test_a_byte_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("昔々".encode("shift_jis") * 30_000 + b"\xff")
    with pytest.raises(BadInput, match=r"a\.txt is not shift_jis text: byte 120,000 can't be"):
        read(tmp_path / "a.txt", "shift_jis")
    (tmp_path / "b.txt").write_bytes("ab".encode("utf-16-le")[:-1])
    with pytest.raises(BadInput, match=r"b\.txt is not utf-16-le text: byte 2 can't be: truncated data"):
        read(tmp_path / "b.txt", "utf-16-le")
    with pytest.raises(BadInput, match=r"b\.txt doesn't begin as utf-16 text does, with a byte order mark"):
        read(tmp_path / "b.txt", "utf-16")


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["utf-16", "utf-32", "gb18030"]),
    st.integers(1, 9),
)
def test_pieces_may_end_within_a_character(text: str, encoding: Encoding, size: int) -> None:
    whole, encodings.SAMPLE = encodings.SAMPLE, size
    try:
        assert transcoded(io.BytesIO(text.encode(encoding)), encoding, "a").read() == text.encode()
    finally:
        encodings.SAMPLE = whole


def test_parquet_is_always_utf_8() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.parquet")
        pq.write_table(pa.table({"text": [GERMAN]}), path)
        assert read(path, "latin-1") == [GERMAN]
