from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import tokenizers
from hard_texts import CORPUS
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from glassbox.errors import BadInput
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.tokenizers.digits import DigitTokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer
from glassbox.tokenizers.statistics import histogram, measure

TOKENIZER = train(CORPUS, 600)
TEXTS = st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["en", "de", "fr"])), min_size=1, max_size=20)


@given(TEXTS)
def test_what_is_counted_is_what_encoding_one_by_one_gives(documents: list[tuple[str, str]]):
    found = measure(TOKENIZER, documents)
    encoded = [TOKENIZER.encode(text) for text, _ in documents]
    uses = Counter(id for ids in encoded for id in ids)
    assert found.total.documents == len(documents)
    assert found.total.tokens == sum(map(len, encoded))
    assert found.total.bytes == sum(len(text.encode()) for text, _ in documents)
    assert found.total.words == sum(len(text.split()) for text, _ in documents)
    assert found.total.unknown == 0
    assert found.uses.tolist() == [uses[id] for id in range(TOKENIZER.vocabulary_size)]
    assert found.document_lengths == Counter(map(len, encoded))
    lengths = Counter(len(TOKENIZER.token_bytes(id)) for ids in encoded for id in ids)
    assert found.token_lengths == lengths
    assert set(found.unused) == set(range(TOKENIZER.vocabulary_size)) - uses.keys() - {TOKENIZER.end_of_text}
    for name in ("documents", "characters", "bytes", "words", "tokens", "unknown", "split_characters"):
        assert sum(getattr(counts, name) for counts in found.by_source.values()) == getattr(found.total, name)
    assert found.by_source.keys() == {source for _, source in documents}


def test_compression_and_fertility_are_ratios_of_what_was_counted():
    found = measure(BytePairTokenizer([]), [("two words", "a"), ("", "b")])
    assert found.total.bytes_per_token == 1
    assert found.total.tokens_per_word == 9 / 2
    assert found.total.coverage == 1
    empty = found.by_source["b"]
    assert (empty.bytes_per_token, empty.tokens_per_word, empty.coverage) == (None, None, None)


def test_sources_are_counted_in_groups():
    found = measure(TOKENIZER, [("a", "en/1"), ("b", "en/2"), ("c", "de/1")], group=lambda name: name.split("/")[0])
    assert {name: counts.documents for name, counts in found.by_source.items()} == {"en": 2, "de": 1}


def test_parts_of_characters_are_counted():
    assert measure(BytePairTokenizer([]), [("aé", "x")]).total.split_characters == 2


def test_characters_outside_of_the_vocabulary_are_unknown():
    found = measure(CharacterTokenizer("abc"), [("abxyc", "one"), ("ab", "two")])
    assert found.by_source["one"].unknown == 2
    assert found.by_source["one"].coverage == pytest.approx(3 / 5)
    assert found.by_source["two"].unknown == 0
    assert found.total.tokens == 5
    assert measure(DigitTokenizer(), [("Max ( 12 )", "x")]).total.unknown == 2


def test_the_library_s_unknown_token_counts_the_characters_that_it_stands_for():
    library = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0, "known": 1}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    found = measure(HuggingFaceTokenizer(library.to_str()), [("known strange known", "x")])
    assert found.total.unknown == len("strange")
    assert found.uses.tolist() == [1, 2]


def test_the_unknown_piece_of_a_unigram_vocabulary_is_counted_too():
    vocabulary = [("<unk>", 0.0), ("a", -1.0), ("b", -2.0), ("ab", -1.5)]
    library = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    found = measure(HuggingFaceTokenizer(library.to_str()), [("abxa", "x")])
    assert found.total.unknown == 1
    assert found.total.coverage == 0.75


def test_documents_stream_and_progress_is_told():
    told: list[int] = []
    found = measure(TOKENIZER, ((f"text {number}", "x") for number in range(2_500)), progress=told.append)
    assert found.total.documents == 2_500
    assert told == [1_000, 2_000, 2_500]


def test_nothing_to_measure_is_refused():
    with pytest.raises(BadInput, match="no document"):
        measure(TOKENIZER, [])


@given(st.dictionaries(st.integers(0, 500), st.integers(1, 9), max_size=30), st.integers(1, 20))
def test_a_histogram_holds_every_length_once_in_ranges_of_one_width(lengths: dict[int, int], bins: int):
    ranges = histogram(lengths, bins)
    assert len(ranges) <= bins
    assert sum(count for _, _, count in ranges) == sum(lengths.values())
    for low, high, count in ranges:
        assert count == sum(held for length, held in lengths.items() if low <= length <= high)
    for one, other in pairwise(ranges):
        assert other[0] == one[1] + 1
