"""Splitting text into pieces, against the two libraries that do the same."""

from __future__ import annotations

import sys

import pytest
import tiktoken
from hard_texts import texts
from hypothesis import given
from tokenizers import Regex, pre_tokenizers

from glassbox.errors import BadInput
from glassbox.tokenizers.splitting import GPT2, GPT4, PATTERNS, SplittingPattern, pattern_named

EVERY_CHARACTER = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@given(text=texts())
def test_the_pieces_together_are_the_text(pattern: SplittingPattern, text: str) -> None:
    assert "".join(pattern.split(text)) == text


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@given(text=texts())
def test_pieces_are_those_of_hugging_face(pattern: SplittingPattern, text: str) -> None:
    reference = pre_tokenizers.Split(Regex(pattern.expression), "isolated")
    assert pattern.split(text) == [piece for piece, _ in reference.pre_tokenize_str(text)]


@given(text=texts())
def test_gpt2_pieces_are_those_of_hugging_faces_own_byte_level(text: str) -> None:
    reference = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str(text)
    assert GPT2.split(text) == [text[start:end] for _, (start, end) in reference]


@pytest.mark.parametrize("kind", [r"\p{L}", r"\p{N}", r"\s"])
def test_every_character_is_a_letter_a_number_or_a_blank_to_us_as_to_both_libraries(kind: str) -> None:
    """Fails when a library moves to another Unicode version: the message then names what has to change in the table."""
    ours = set("".join(SplittingPattern("kind", kind).split(EVERY_CHARACTER)))
    bytes_only = {bytes([byte]): byte for byte in range(256)}
    rust = tiktoken.Encoding("kind", pat_str=kind, mergeable_ranks=bytes_only, special_tokens={})
    theirs = set(rust.decode(rust.encode_ordinary(EVERY_CHARACTER)))
    assert not ours ^ theirs, f"tiktoken: {sorted(map(ord, ours ^ theirs))[:20]}"
    others = pre_tokenizers.Split(Regex(kind), "removed", invert=True).pre_tokenize_str(EVERY_CHARACTER)
    theirs = set("".join(piece for piece, _ in others))
    assert not ours ^ theirs, f"tokenizers: {sorted(map(ord, ours ^ theirs))[:20]}"


def test_a_letter_younger_than_unicode_16_is_no_letter() -> None:
    assert GPT4.split("ab\u0558cd") == ["ab", "\u0558cd"]
    assert GPT2.split("ab\u0558cd") == ["ab", "\u0558", "cd"]


def test_gpt4_takes_numbers_by_three_digits_and_gpt2_whole() -> None:
    assert GPT4.split("x 1234567") == ["x", " ", "123", "456", "7"]
    assert GPT2.split("x 1234567") == ["x", " 1234567"]


def test_contractions_are_split_off_and_in_capitals_by_gpt4_only() -> None:
    assert GPT2.split("they'll THEY'LL") == ["they", "'ll", " THEY", "'", "LL"]
    assert GPT4.split("they'll THEY'LL") == ["they", "'ll", " THEY", "'LL"]


def test_an_unknown_pattern_is_bad_input_that_names_the_known_ones() -> None:
    assert pattern_named("gpt2") is GPT2
    with pytest.raises(BadInput, match="gpt2, gpt4"):
        pattern_named("gpt5")
