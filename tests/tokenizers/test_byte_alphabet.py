"""The printable symbols of the 256 bytes, against Hugging Face's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from glassbox.tokenizers.byte_alphabet import BYTES_BY_ID, IDS_BY_BYTE, from_symbols, to_symbols


def test_the_symbols_are_those_of_hugging_face_in_the_order_of_their_code() -> None:
    assert [to_symbols(bytes([byte])) for byte in BYTES_BY_ID] == sorted(pre_tokenizers.ByteLevel.alphabet())


def test_a_space_a_newline_and_a_letter_look_as_in_gpt2() -> None:
    assert to_symbols(b" the\n") == "ĠtheĊ"
    assert IDS_BY_BYTE[ord("!")] == 0
    assert IDS_BY_BYTE[0] == 188


@given(st.binary())
def test_symbols_give_the_bytes_back(data: bytes) -> None:
    assert from_symbols(to_symbols(data)) == data
    assert bytes(BYTES_BY_ID[id] for id in data.translate(IDS_BY_BYTE)) == data


def test_a_character_that_is_no_symbol_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        from_symbols("a b")
