"""Three trainers behind one function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hard_texts import CORPUS, texts
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.tokenizers.bytepair_trainers import TRAINERS, train
from glassbox.tokenizers.bytepair_training import LearnedMerge
from glassbox.tokenizers.splitting import GPT2, PATTERNS, SplittingPattern


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@given(documents=st.lists(texts(), min_size=1, max_size=4).filter(any))
def test_hugging_faces_trainer_learns_the_same_as_ours(pattern: SplittingPattern, documents: list[str]) -> None:
    ours = train(documents, 300, pattern=pattern)
    assert train(documents, 300, pattern=pattern, trainer="huggingface").merges == ours.merges


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@given(documents=st.lists(texts(), min_size=1, max_size=4).filter(any))
def test_rustbpe_learns_merges_that_compress_as_often_and_give_the_text_back(
    pattern: SplittingPattern, documents: list[str]
) -> None:
    tokenizer = train(documents, 300, pattern=pattern, trainer="rustbpe")
    assert tokenizer.is_self_consistent
    for document in documents:
        assert tokenizer.decode(tokenizer.encode(document)) == document


def test_rustbpe_learns_the_same_as_ours_where_no_two_pairs_are_equally_frequent() -> None:
    documents = ["ab" * 9 + " " + "cd" * 7 + " " + "ef" * 5]
    assert train(documents, 259, trainer="rustbpe").merges[:1] == train(documents, 259).merges[:1]


def test_rustbpe_and_ours_differ_in_ties_only(test_data: Path) -> None:
    """So the same text costs nearly the same number of tokens."""
    text = (test_data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    ours, theirs = train([text], 1024), train([text], 1024, trainer="rustbpe")
    lengths = len(ours.encode(text)), len(theirs.encode(text))
    assert max(lengths) - min(lengths) < 0.001 * min(lengths)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_vocabulary_holds_bytes_merges_and_special_tokens(trainer: str) -> None:
    tokenizer = train(CORPUS, 300, special_tokens=("<|a|>", "<|b|>"), trainer=trainer)
    assert tokenizer.vocabulary_size == 300
    assert len(tokenizer.merges) == 300 - 256 - 2
    assert tokenizer.special_tokens == {"<|a|>": 298, "<|b|>": 299}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_text_that_runs_out_of_merges_gives_a_smaller_vocabulary(trainer: str) -> None:
    tokenizer = train(["abab cd"], 4096, pattern=GPT2, trainer=trainer)
    assert tokenizer.vocabulary_size == 256 + 4 + 1  # ab, abab, " c" or cd, " cd"
    assert tokenizer.encode("abab") == [*tokenizer.encode_bytes(b"abab")]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_smallest_vocabulary_has_no_merges(trainer: str) -> None:
    tokenizer = train(["some text"], 257, trainer=trainer)
    assert tokenizer.merges == ()
    assert tokenizer.vocabulary_size == 257


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("documents", [[], [""], ["", "", ""]])
def test_an_empty_corpus_is_bad_input(trainer: str, documents: list[str]) -> None:
    with pytest.raises(BadInput, match="corpus is empty"):
        train(documents, 300, trainer=trainer)


@pytest.mark.parametrize("size", [0, -5, 256, 1_000_001])
def test_a_vocabulary_too_small_or_too_large_is_bad_input_that_says_why(size: int) -> None:
    with pytest.raises(BadInput, match=r"257 to 1,000,000 ids .*256 bytes and 1 special"):
        train(["text"], size)


def test_an_unknown_trainer_is_bad_input() -> None:
    with pytest.raises(BadInput, match="python, huggingface, rustbpe"):
        train(["text"], 300, trainer="minbpe")


@pytest.mark.parametrize("trainer", TRAINERS)
def test_what_goes_wrong_while_reading_documents_is_not_hidden(trainer: str) -> None:
    def documents() -> Iterator[str]:
        yield "some text"
        raise BadInput("The disk is gone.", "Plug it in.")

    with pytest.raises(BadInput, match="disk is gone"):
        train(documents(), 300, trainer=trainer)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_half_of_a_surrogate_pair_in_a_document_is_bad_input(trainer: str) -> None:
    with pytest.raises(BadInput, match="half of a surrogate pair"):
        train(["text", "\udc00"], 300, trainer=trainer)


def test_blanks_over_which_rustbpe_would_break_are_bad_input_that_names_another_trainer() -> None:
    document = "x" + " " * 1_000_001 + "x"
    with pytest.raises(BadInput, match="trainer python"):
        train([document], 300, trainer="rustbpe")
    assert train([document], 260).vocabulary_size == 260


def test_the_watcher_sees_each_merge_as_it_is_learned() -> None:
    seen: list[LearnedMerge] = []
    tokenizer = train(["abab abab"], 260, pattern=GPT2, special_tokens=(), watch=seen.append)
    assert tuple((merge.left, merge.right) for merge in seen) == tokenizer.merges
    assert [merge.frequency for merge in seen] == [4, 2, 1]
    assert tokenizer.token_bytes(seen[1].token) == b"abab"
