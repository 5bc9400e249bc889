"""A name can be a folder's name on any system, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.workspace.names import KINDS, LONGEST_NAME, Reference, check_kind, check_name, name_from, shown

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "..\\x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "\0",
    "a\nb",
    "a b",
    " a",
    "a ",
    "-a",
    "a-",
    ".hidden",
    "a.",
    "A",
    "modèle",
    "mоdel",  # a Cyrillic о
    "model\u202efdp",  # right to left
    "ﬁle",
    "\u0661",  # a digit, but not an ASCII one
    "a:b",
    "a" * 300,
    "💥",
    "%2e%2e",
    "~",
    "$HOME",
    "con\r",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_with_a_printable_sentence(name):
    with pytest.raises(BadInput) as caught:
        check_name(name)
    assert caught.value.problem.isprintable()
    assert caught.value.remedy.isprintable()


@pytest.mark.parametrize("name", ["a", "7", "tiny-shakespeare", "a.b_c--d", "a..b", "a" * LONGEST_NAME])
def test_a_plain_name_is_taken(name):
    assert check_name(name) == name


@given(st.text())
@example("İ")
@example("...")
@example("x" * 500)
def test_any_text_gives_a_valid_name(text):
    assert check_name(name_from(text))


@given(st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True))
def test_a_valid_name_is_kept(name):
    assert name_from(check_name(name)) == name


@given(st.text())
def test_checking_any_text_gives_itself_or_bad_input(text):
    try:
        assert check_name(text) == text
    except BadInput:
        return
    assert text.isascii()
    assert "/" not in text
    assert text not in (".", "..")


@pytest.mark.parametrize(
    "text", ["a:", "a:0", "a:-1", "a:01", "a:x", "a:1:2", "a: 1", "a:1.0", "a:²", "a:9999999999", ":1", ":"]
)
def test_a_reference_that_names_no_version_is_refused(text):
    with pytest.raises(BadInput):
        Reference.parse(text)


@given(st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True), st.none() | st.integers(1, 999_999_999))
def test_a_reference_reads_back_as_it_was_written(name, version):
    reference = Reference(name, version)
    assert Reference.parse(str(reference)) == reference


def test_only_the_known_kinds_are_kinds():
    assert [check_kind(kind) for kind in KINDS] == list(KINDS)
    for text in ("", "Corpus", "../corpus", "\0"):
        with pytest.raises(BadInput, match="no kind"):
            check_kind(text)


@given(st.text())
def test_what_is_shown_is_printable_and_short(text):
    assert shown(text).isprintable()
    assert len(shown(text)) < 700
