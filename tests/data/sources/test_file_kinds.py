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

PACKED = gzip.compress(b"x")
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
        ("a.zip", b"PK\x03\x04", "a.zip"),
        ("a.txt", b"PK\x03\x04", "a.zip"),
        ("a.txt", b"PAR1", "a.parquet"),
        ("a.parquet", b"PAR1", "a.parquet"),
        ("../../etc/passwd", b"root", "passwd"),
        ("C:\\Users\\ann\\a.csv", b"text", "a.csv"),
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


@given(st.text(max_size=300), st.sampled_from([b"text", b"PAR1", PACKED, b"PK\x03\x04", b"", b"%PDF"]))
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
        ("a.docx", b"PK\x03\x04", "is an Office document"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
        ("a.txt", b"\x89PNG\r\n", "is a picture"),
        ("a.tar", b"\0" * 257 + b"ustar", "is a tar archive"),
        ("model.pkl", b"\x80\x04\x95", "could run anything"),
        ("a.parquet", b"text", "isn't what its name says: a .parquet file begins in another way"),
        ("a.zip", b"text", "isn't what its name says"),
        ("a.txt.gz", b"text", "isn't what its name says"),
        ("a.xz", b"text", "isn't what its name says"),
    ],
)
def test_what_is_no_text_is_told_for_what_it_is(label: str, beginning: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        file_name(label, beginning)
