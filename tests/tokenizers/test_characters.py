"""Characters as tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.tokenizers import load
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.tokenizers.digits import DigitTokenizer


def test_ids_are_those_of_microgpt_characters_sorted_and_the_mark_of_a_document_last(test_data: Path) -> None:
    names = (test_data / "names.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = CharacterTokenizer.train(names)
    assert tokenizer.characters == "abcdefghijklmnopqrstuvwxyz"
    assert tokenizer.encode("emma") == [4, 12, 12, 0]
    assert tokenizer.special_tokens == {"<|bos|>": 26}
    assert tokenizer.end_of_text == 26
    assert tokenizer.vocabulary_size == 27


@given(st.text(min_size=1))
def test_text_comes_back(text: str) -> None:
    tokenizer = CharacterTokenizer.train([text])
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode_batch([text, ""]) == [ids, []]
    assert tokenizer.encode_arrays([text])[0].tolist() == ids
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()


def test_an_unknown_character_is_bad_input_that_names_it_and_its_place() -> None:
    tokenizer = CharacterTokenizer.train(["abc"])
    with pytest.raises(BadInput, match=r"Character 3 of the text is 'é' \(U\+00E9\), which isn't among the 3"):
        tokenizer.encode("abé")
    with pytest.raises(BadInput, match="'<'"):
        tokenizer.encode("a<|bos|>")


def test_special_tokens_are_found_only_if_allowed() -> None:
    tokenizer = CharacterTokenizer.train(["<|bos|>ab"])
    assert tokenizer.decode(tokenizer.encode("a<|bos|>")) == "a<|bos|>"
    assert tokenizer.encode("a<|bos|>", allow_special=True) == [*tokenizer.encode("a"), tokenizer.end_of_text]
    assert CharacterTokenizer("ab", special_tokens=()).end_of_text is None


def test_a_saved_tokenizer_comes_back(tmp_path: Path) -> None:
    tokenizer = CharacterTokenizer.train(["né\n\x00中"], special_tokens=("<|a|>", "<|b|>"))
    tokenizer.save(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, CharacterTokenizer)
    assert loaded.characters == tokenizer.characters
    assert loaded.special_tokens == tokenizer.special_tokens == {"<|a|>": 5, "<|b|>": 6}


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_an_empty_corpus_is_bad_input(documents: list[str]) -> None:
    with pytest.raises(BadInput, match="corpus is empty"):
        CharacterTokenizer.train(documents)
    with pytest.raises(BadInput, match="at least one character"):
        CharacterTokenizer("")


@pytest.mark.parametrize("token", [4, -1])
def test_an_unknown_id_is_bad_input(token: int) -> None:
    with pytest.raises(BadInput, match=f"id {token} isn't in this tokenizer's vocabulary of 4 ids"):
        CharacterTokenizer("abc").decode([token])


def test_a_special_token_that_is_a_character_is_bad_input() -> None:
    with pytest.raises(BadInput, match="'a' is also a character"):
        CharacterTokenizer("abc", special_tokens=("a",))
    with pytest.raises(BadInput, match="half of a surrogate pair"):
        CharacterTokenizer("ab\ud83d")


@pytest.mark.parametrize(
    "damage",
    [
        {"characters": None},
        {"characters": "ba"},
        {"characters": "aab"},
        {"characters": ["a", "b"]},
        {"special_tokens": "x"},
        {"special_tokens": [1]},
        {"special_tokens": None},
        {"characters": "", "special_tokens": []},
        {"special_tokens": ["<|a|>", "<|a|>"]},
    ],
)
def test_a_damaged_description_is_bad_input(tmp_path: Path, damage: dict[str, Any]) -> None:
    CharacterTokenizer("ab").save(tmp_path)
    path = tmp_path / "glassbox.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(BadInput):
        load(tmp_path)


@given(st.text(alphabet=" abc\n\r\té漢🙂", max_size=30))
def test_hugging_face_gives_the_same_ids_by_the_tokenizer_json(text: str) -> None:
    tokenizer = CharacterTokenizer(" abc\n\r\té漢🙂", ["<|bos|>", "<|user|>"])
    theirs = tokenizers.Tokenizer.from_str(tokenizer.to_tokenizer_json())
    assert theirs.encode(text).ids == tokenizer.encode(text)
    assert theirs.decode(tokenizer.encode(text)) == text
    assert theirs.encode(f"<|user|>{text}").ids == tokenizer.encode(f"<|user|>{text}", allow_special=True)


def test_a_kind_that_hugging_face_cannot_express_says_so() -> None:
    with pytest.raises(BadInput, match="nothing like a DigitTokenizer"):
        DigitTokenizer().to_tokenizer_json()
