"""Learning merges, against Hugging Face's trainer."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from random import Random

import pytest
from hard_texts import CORPUS, texts
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from glassbox.errors import BadInput
from glassbox.tokenizers.byte_alphabet import BYTES_BY_ID, to_symbols
from glassbox.tokenizers.bytepair_training import LearnedMerge, count_pieces, learn_merges
from glassbox.tokenizers.splitting import GPT2, PATTERNS, SplittingPattern


def learned(documents: list[str], vocabulary_size: int, pattern: SplittingPattern) -> list[list[str]]:
    """Our merges, spelled as a tokenizer.json spells them."""
    symbols = [to_symbols(bytes([byte])) for byte in BYTES_BY_ID]
    merges: list[list[str]] = []
    for merge in islice(learn_merges(count_pieces(documents, pattern)), vocabulary_size - 256):
        merges.append([symbols[merge.left], symbols[merge.right]])
        assert merge.token == len(symbols)
        symbols.append("".join(merges[-1]))
    return merges


def learned_by_huggingface(documents: list[str], vocabulary_size: int, pattern: SplittingPattern) -> list[list[str]]:
    tokenizer = Tokenizer(models.BPE())
    own = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is GPT2)
    split = pre_tokenizers.Split(Regex(pattern.expression), "isolated") if pattern is not GPT2 else None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, own]) if split else own
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(documents, trainer)
    return json.loads(tokenizer.to_str())["model"]["merges"]


@pytest.mark.parametrize("vocabulary_size", [512, 4096, 16384])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("name", ["tinyshakespeare", "wikitext-2-valid"])
def test_merges_are_those_of_hugging_face_on_real_text(
    test_data: Path, name: str, pattern: SplittingPattern, vocabulary_size: int
) -> None:
    text = (test_data / f"{name}.txt").read_text(encoding="utf-8")
    ours = learned([text], vocabulary_size, pattern)
    assert len(ours) == vocabulary_size - 256
    assert ours == learned_by_huggingface([text], vocabulary_size, pattern)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@given(documents=st.lists(texts(), max_size=6))
@example(documents=CORPUS)
@example(documents=["aaaaaaaaaaaaaaaaaaaaaaa aaaaa aaaaaaaaaaa", "aabaabaabbb babababa"])
def test_merges_are_those_of_hugging_face_on_any_text(pattern: SplittingPattern, documents: list[str]) -> None:
    assert learned(documents, 700, pattern) == learned_by_huggingface(documents, 700, pattern)


@given(st.lists(st.text(st.sampled_from("ab"), min_size=1), min_size=1))
def test_the_frequency_of_a_merge_is_how_often_its_pair_stands_in_the_text(words: list[str]) -> None:
    merges = list(learn_merges(Counter(words)))
    pieces = [[BYTES_BY_ID.index(byte) for byte in word.encode()] for word in words]
    for merge in merges:
        pairs = [pair for piece in pieces for pair in pairwise(piece)]
        assert Counter(pairs)[merge.left, merge.right] == merge.frequency == max(Counter(pairs).values())
        pieces = [join(piece, merge) for piece in pieces]
    assert all(len(piece) == 1 for piece in pieces)


def join(piece: list[int], merge: LearnedMerge) -> list[int]:
    joined: list[int] = []
    for token in piece:
        if joined and joined[-1] == merge.left and token == merge.right:
            joined[-1] = merge.token
        else:
            joined.append(token)
    return joined


def test_learning_ends_when_no_two_tokens_are_left_side_by_side() -> None:
    assert [merge.frequency for merge in learn_merges(count_pieces(["abc abc"], GPT2))] == [2, 2, 1]
    assert next(learn_merges(count_pieces(["a b"], GPT2))).frequency == 1
    assert list(learn_merges({})) == []


def test_half_of_a_surrogate_pair_in_a_document_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"Character 3 of the text is U\+D83D"):
        count_pieces(["fine", "ab\ud83dcd"], GPT2)


def test_a_vocabulary_larger_than_the_codes_of_surrogates_is_learned_too() -> None:
    """Ids are kept as characters while learning, and 55,296 to 57,343 are no characters that could be printed."""
    random = Random(0)
    words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(35_000)]
    merges = learned([" ".join(words)], 60_000, GPT2)
    assert len(merges) == 60_000 - 256
    assert merges == learned_by_huggingface([" ".join(words)], 60_000, GPT2)
