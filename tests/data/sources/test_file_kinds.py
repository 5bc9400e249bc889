"""What a file is by its first bytes; and whatever it was called, our name for it is harmless."""

from __future__ import annotations

import gzip
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.sources.file_kinds import file_name, plain_name
from glassbox.errors import BadInput
from glassbox.workspace.names import LONGEST_NAME

TEXT, PARQUET, ZIPPED, PACKED = b"text", b"PAR1", b"PK\x03\x04", gzip.compress(b"x")
SAFE = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("label", "beginning", "name"),
    [
        ("tales.txt", b"once", "tales.txt"),
        ("Meine Märchen.TXT", b"once", "meine-marchen.txt"),
        ("notes", b"once", "notes"),
        ("rows.jsonl", b"{}", "rows.jsonl"),
        ("rows.jsonl.gz", PACKED, "rows.jsonl.gz"),
        ("rows.jsonl", PACKED, "rows.jsonl.gz"),
        ("rows.gz", PACKED, "rows.gz"),
        ("a.zip", ZIPPED, "a.zip"),
        ("a.txt", ZIPPED, "a.zip"),
        ("a.txt", PARQUET, "a.parquet"),
        ("a.parquet", PARQUET, "a.parquet"),
        ("../../etc/passwd", b"root", "passwd"),
        ("C:\\Users\\ann\\a.csv", TEXT, "a.csv"),
        (".htaccess", b"x", "htaccess"),
        ("...", b"x", "unnamed"),
        ("a" * 300 + ".jsonl", b"{}", "a" * 74 + ".jsonl"),
        ("昔々.txt", b"x", "unnamed.txt"),
        ("a.b c", b"x", "a.b-c"),
        (".content", b"x", "content"),
    ],
)
def test_a_file_gets_a_harmless_name_with_the_suffix_of_what_it_is(label: str, beginning: bytes, name: str) -> None:
    assert file_name(label, beginning) == name


@given(st.text(max_size=300), st.sampled_from([TEXT, PARQUET, PACKED, ZIPPED, b"", b"%PDF"]))
def test_no_name_is_ever_a_path(label: str, beginning: bytes) -> None:
    try:
        name = file_name(label, beginning)
    except BadInput:
        name = plain_name(label)
    assert SAFE.fullmatch(name)
    assert len(name) <= LONGEST_NAME
    assert not name.startswith(".")


@pytest.mark.parametrize(
    ("label", "beginning", "reason"),
    [
        ("a.txt", b"%PDF-1.7", "is a PDF document, not text"),
        ("a.docx", ZIPPED, "is an Office document"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
        ("a.txt", b"\x89PNG\r\n", "is a picture"),
        ("a.tar", b"\0" * 257 + b"ustar", "is a tar archive"),
        ("model.pkl", b"\x80\x04\x95", "could run anything"),
    ],
)
def test_what_is_no_text_is_told_for_what_it_is(label: str, beginning: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        file_name(label, beginning)


@pytest.mark.parametrize("suffix", [".parquet", ".zip", ".gz", ".xz"])
def test_a_file_that_begins_otherwise_than_its_name_says_is_refused(suffix: str) -> None:
    with pytest.raises(BadInput, match=f"isn't what its name says: a {re.escape(suffix)} file begins in another way"):
        file_name(f"a.txt{suffix}", TEXT)
