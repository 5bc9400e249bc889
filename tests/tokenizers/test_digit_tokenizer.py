"""The tokenizer of the digit task: twenty words, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.digits import TASKS, generate
from glassbox.errors import BadInput
from glassbox.tokenizers import load
from glassbox.tokenizers.digits import END, PADDING, WORDS, DigitTokenizer

TOKENIZER = DigitTokenizer()
ORDINARY = [word for word in WORDS if not word.startswith("[")]


def test_the_vocabulary_is_the_one_that_the_task_is_known_by():
    assert TOKENIZER.vocabulary_size == 20
    assert TOKENIZER.encode("0 9 First Second Last Max Min ( ) ,") == [2, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert TOKENIZER.special_tokens == {"[PAD]": 0, "[EOS]": 1}
    assert TOKENIZER.end_of_text == END == 1
    assert PADDING == 0


@given(st.lists(st.sampled_from(ORDINARY)))
def test_whatever_is_written_with_one_blank_between_words_comes_back(words: list[str]):
    text = " ".join(words)
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
    assert TOKENIZER.encode(f"  {text}\n") == TOKENIZER.encode(text)


@given(st.lists(st.integers(0, 19)))
def test_any_ids_come_back_when_special_tokens_are_allowed(ids: list[int]):
    assert TOKENIZER.encode(TOKENIZER.decode(ids), allow_special=True) == ids


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_expression_of_the_task_comes_back(task):
    for example in generate(task, "small", 0).test:
        assert TOKENIZER.decode(TOKENIZER.encode(example.text)) == example.text


@pytest.mark.parametrize("text", ["Foo ( 1 )", "Max ( 12 )", "max", "[EOS]", "Max(1)", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_another_word_is_refused_with_the_words_that_there_are(text: str):
    with pytest.raises(BadInput, match=r"Word \d of the text is ") as caught:
        TOKENIZER.encode(text)
    assert "First Second Last Max Min" in caught.value.remedy


@pytest.mark.parametrize("token", [-1, 20, 1000])
def test_another_id_is_refused(token: int):
    with pytest.raises(BadInput, match="vocabulary of 20 ids"):
        TOKENIZER.decode([token])


def test_saved_and_loaded_it_is_the_same(tmp_path: Path):
    TOKENIZER.save(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, DigitTokenizer)
    assert loaded.encode("Max ( 1 )") == TOKENIZER.encode("Max ( 1 )")


def test_a_description_with_other_words_is_refused(tmp_path: Path):
    (tmp_path / "glassbox.json").write_text(json.dumps({"type": "digits", "words": list(WORDS)[::-1]}))
    with pytest.raises(BadInput, match="the 20 words of the digit task in order"):
        load(tmp_path)
