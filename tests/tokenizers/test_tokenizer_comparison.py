from __future__ import annotations

import pytest
from hard_texts import CORPUS

from glassbox.errors import BadInput
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.tokenizers.comparison import common_boundaries, compare
from glassbox.tokenizers.inspection import inspect

SMALL, LARGE = train(CORPUS, 300), train(CORPUS, 600)


def test_each_tokenizer_is_inspected_on_the_same_text():
    text = "the other day"
    found = compare({"small": SMALL, "large": LARGE, "characters": CharacterTokenizer("abc")}, text)
    assert list(found) == ["small", "large", "characters"]
    assert found["small"].inspection == inspect(SMALL, text)
    assert found["large"].tokens == len(LARGE.encode(text))
    assert found["characters"].tokens is None
    assert found["characters"].problem
    assert found["large"].vocabulary_size == LARGE.vocabulary_size


def test_a_vocabulary_learned_longer_holds_the_shorter_one():
    shared = compare({"small": SMALL, "large": LARGE}, "a")["small"].shared
    assert shared == {"large": 300 - 1}  # all but the special token


def test_boundaries_that_all_agree_on():
    text = "ab cd"
    pairs = BytePairTokenizer([(64, 65)])  # "ab"
    assert common_boundaries([inspect(pairs, text), inspect(BytePairTokenizer([]), text)]) == {0, 2, 3, 4}
    assert common_boundaries([]) == set()


def test_a_text_that_is_empty_or_that_none_can_encode_is_refused():
    with pytest.raises(BadInput, match="empty"):
        compare({"small": SMALL}, "")
    with pytest.raises(BadInput, match=r"None of the tokenizers.*'x'"):
        compare({"one": CharacterTokenizer("a"), "two": CharacterTokenizer("b")}, "x")
