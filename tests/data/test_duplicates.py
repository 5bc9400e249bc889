"""Duplicates are found, near ones too, and the rest is left alone; exact Jaccard indices are the judge."""

from __future__ import annotations

import hashlib
import random
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.duplicates import FEWEST_WORDS, PIECE, RUN, Groups, duplicate_groups, fingerprint

WORDS = [f"{first}{second}" for first in ("ba", "ke", "li", "mo", "nu", "ra") for second in "bdfgklmnprstvz"]


def prose(rng: random.Random, words: int) -> list[str]:
    return [rng.choice(WORDS) for _ in range(words)]


def changed(rng: random.Random, words: list[str], changes: int) -> list[str]:
    copy = list(words)
    for place in rng.sample(range(len(copy)), changes):
        copy[place] = "otherwise"
    return copy


def jaccard(left: list[str], right: list[str]) -> float:
    runs = [{tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)} for words in (left, right)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def grouped(texts: list[str], similarity: float = 0.8) -> Groups:
    return duplicate_groups(map(fingerprint, texts), similarity)


@given(st.integers(0, 2**32), st.integers(0, 40))
def test_the_estimate_is_close_to_the_jaccard_index(seed: int, changes: int) -> None:
    rng = random.Random(seed)
    left = prose(rng, 400)
    right = changed(rng, left, changes)
    signatures = [fingerprint(" ".join(words)).signature for words in (left, right)]
    assert signatures[0] is not None
    assert signatures[1] is not None
    estimate = float(np.mean(signatures[0] == signatures[1]))
    assert abs(estimate - jaccard(left, right)) < 0.27  # six standard deviations of 128 tosses


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_join_and_distant_documents_stay_apart(seed: int) -> None:
    rng = random.Random(seed)
    documents: list[list[str]] = []
    for _ in range(150):
        original = prose(rng, rng.randrange(60, 600))
        documents += [original, changed(rng, original, len(original) // 50), changed(rng, original, len(original) // 8)]
    result = grouped([" ".join(words) for words in documents])
    for number in range(0, len(documents), 3):
        assert jaccard(documents[number], documents[number + 1]) >= 0.8
        assert result.first[number] == result.first[number + 1] == number
        if jaccard(documents[number], documents[number + 2]) < 0.5:
            assert result.first[number + 2] == number + 2
    assert result.exact == 0
    assert 150 <= result.near < 160


def test_only_words_count_for_an_exact_duplicate() -> None:
    result = grouped(["Hello,  world!", "something else", "hello world", "HELLO\nWORLD", "hello", "world hello"])
    assert result.first.tolist() == [0, 1, 0, 0, 4, 5]
    assert (result.exact, result.near) == (2, 0)


def test_texts_without_words_are_compared_as_they_are() -> None:
    assert grouped(["---", "***", "---", ""]).first.tolist() == [0, 1, 0, 3]


def test_short_documents_that_differ_in_a_word_are_no_duplicates() -> None:
    words = WORDS[: FEWEST_WORDS - 1]
    assert grouped([" ".join(words), " ".join([*words[:-1], "otherwise"])]).first.tolist() == [0, 1]
    assert grouped(["anna", "anne"]).first.tolist() == [0, 1]


def test_duplicates_join_by_way_of_others() -> None:
    rng = random.Random(0)
    chain = [prose(rng, 300)]
    for _ in range(6):
        chain.append(changed(rng, chain[-1], 6))
    assert jaccard(chain[0], chain[-1]) < 0.65 < 0.8 <= min(map(jaccard, chain, chain[1:]))
    result = grouped([" ".join(words) for words in chain])
    assert result.first.tolist() == [0] * 7
    assert result.near == 6


def test_thousands_of_documents_of_one_template_are_one_group() -> None:
    rng = random.Random(0)
    template = prose(rng, 300)
    texts = [" ".join(changed(rng, template, 1)) for _ in range(2000)] + [" ".join(prose(rng, 300))]
    result = grouped(texts)
    assert set(result.first[:-1].tolist()) == {0}
    assert result.first[-1] == 2000


def test_a_script_without_spaces_is_compared_by_its_characters() -> None:
    rng = random.Random(0)
    text = [chr(0x4E00 + rng.randrange(3000)) for _ in range(400)]
    other = [chr(0x4E00 + rng.randrange(3000)) for _ in range(400)]
    near = [*text[:200], "改", *text[201:]]
    assert grouped(["".join(text), "".join(near), "".join(other)]).first.tolist() == [0, 0, 2]


def test_with_a_similarity_of_one_only_exact_duplicates_join() -> None:
    rng = random.Random(0)
    words = prose(rng, 300)
    texts = [" ".join(words), " ".join(changed(rng, words, 1)), " ".join(words)]
    assert grouped(texts, similarity=1).first.tolist() == [0, 1, 0]
    assert grouped(texts, similarity=0.8).first.tolist() == [0, 0, 0]


def test_a_large_text_has_the_fingerprint_of_its_words_wherever_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    text = "\n".join(" ".join(prose(rng, 10)) for _ in range(50)) + "\n"
    whole = fingerprint(text)
    assert len(text) < PIECE
    monkeypatch.setattr("glassbox.data.duplicates.PIECE", 100)
    cut = fingerprint(text)
    assert cut.exact == whole.exact
    assert whole.signature is not None
    assert np.array_equal(cut.signature, whole.signature)


def test_the_least_hash_of_a_group_does_not_depend_on_the_order() -> None:
    rng = random.Random(0)
    words = prose(rng, 300)
    texts = [" ".join(words), " ".join(changed(rng, words, 2)), " ".join(changed(rng, words, 2)), "one", "one", "two"]
    expected = dict(zip(texts, grouped(texts).least.tolist(), strict=True))
    for _ in range(10):
        rng.shuffle(texts)
        assert dict(zip(texts, grouped(texts).least.tolist(), strict=True)) == expected


def test_fingerprints_are_the_same_for_ever_as_plain_arithmetic_gives_them() -> None:
    """Splits are a function of them: another value would move documents from train to test."""

    def constants(name: str, count: int) -> list[int]:
        data = hashlib.shake_256(name.encode()).digest(8 * count)
        return [int.from_bytes(data[i : i + 8], "little") | 1 for i in range(0, len(data), 8)]

    found = fingerprint(" ".join(WORDS).title())
    assert found.exact == int.from_bytes(
        hashlib.blake2b("".join(f"{word} " for word in WORDS).encode(), digest_size=8).digest()
    )
    hashes = [zlib.crc32(word.encode()) for word in WORDS]
    weights = constants("minhash runs", RUN)
    sums = [
        sum(hashes[i + place] * weight for place, weight in enumerate(weights)) % 2**64
        for i in range(len(WORDS) - RUN + 1)
    ]
    runs = [run ^ run >> 31 for run in sums]
    pairs = zip(constants("minhash multipliers", 128), constants("minhash addends", 128), strict=True)
    expected = [min((factor * run + addend) % 2**64 for run in runs) >> 32 & 0xFFFF for factor, addend in pairs]
    assert found.signature is not None
    assert found.signature.tolist() == expected


def test_no_documents_are_no_groups() -> None:
    assert grouped([]).first.tolist() == []
