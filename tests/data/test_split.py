"""Splits: deterministic, free of leakage, and at the shares that were asked for."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.corpus import CorpusWriter, read_documents, split_names
from glassbox.data.documents import Document
from glassbox.data.split import Boundary, Shares, SplitReport, split_by_documents, split_by_position
from glassbox.errors import BadInput

shares_below_one = st.tuples(st.floats(0, 0.5), st.floats(0, 0.45)).map(lambda pair: Shares(*pair))
SHARES = Shares(0.2, 0.1)


def corpus_of(folder: Path, texts: list[str]) -> Path:
    with CorpusWriter(folder) as writer:
        for number, text in enumerate(texts):
            writer.append(Document(text, f"source {number}"))
    return folder


def by_documents(folder: Path, shares: Shares = SHARES, seed: int = 0) -> SplitReport:
    return split_by_documents(folder, folder, shares, seed=seed, similarity=0.8, progress=lambda done, total: None)


def by_position(folder: Path, shares: Shares, boundary: Boundary = "character") -> SplitReport:
    return split_by_position(
        folder, folder, shares, boundary=boundary, similarity=0.8, progress=lambda done, total: None
    )


def texts_of(folder: Path, split: str) -> list[str]:
    return [document.text for document in read_documents(folder, split)]


def place_of(folder: Path) -> dict[str, str]:
    """The split of each text."""
    return {text: split for split in split_names(folder) if split != "documents" for text in texts_of(folder, split)}


def test_every_document_goes_to_one_split_in_its_order(tmp_path: Path) -> None:
    texts = [f"document {number}" for number in range(2000)]
    report = by_documents(corpus_of(tmp_path, texts))
    found = [texts_of(tmp_path, split) for split in ("train", "validation", "test")]
    assert sorted(text for split in found for text in split) == sorted(texts)
    for split in found:
        assert split == sorted(split, key=texts.index)
    assert [len(split) for split in found] == [size.documents for size in report.sizes.values()]
    assert 1300 < len(found[0]) < 1500
    assert 330 < len(found[1]) < 470
    assert 140 < len(found[2]) < 260


def test_a_document_stays_in_its_split_when_the_corpus_grows_or_changes_its_order(tmp_path: Path) -> None:
    texts = [f"document {number}" for number in range(500)]
    by_documents(corpus_of(tmp_path / "before", texts))
    grown = [*texts, *(f"another {number}" for number in range(500))]
    random.Random(0).shuffle(grown)
    by_documents(corpus_of(tmp_path / "after", grown))
    before, after = place_of(tmp_path / "before"), place_of(tmp_path / "after")
    assert before.items() <= after.items()


def test_another_seed_is_another_split_and_the_same_seed_the_same(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        by_documents(corpus_of(tmp_path / name, [f"document {number}" for number in range(500)]), seed=seed)
    a, b, c = (place_of(tmp_path / name) for name in "abc")
    assert a == b
    assert 100 < sum(a[text] != c[text] for text in a) < 350


def test_duplicates_exact_and_near_never_stand_in_two_splits(tmp_path: Path) -> None:
    rng = random.Random(0)
    family: dict[str, int] = {}
    for number in range(300):
        words = [f"w{rng.randrange(5000)}" for _ in range(200)]
        for _ in range(3):
            copy = list(words)
            copy[rng.randrange(200)] = "changed"
            family[" ".join(copy)] = number
    texts = [*family, *(text.upper() for text in family)]
    rng.shuffle(texts)
    report = by_documents(corpus_of(tmp_path, texts))
    splits: dict[int, set[str]] = {}
    for text, split in place_of(tmp_path).items():
        splits.setdefault(family[text.lower()], set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}
    assert (report.exact_duplicates, report.near_duplicates) == (len(family), len(family) - 300)


def test_a_share_of_nothing_makes_no_split(tmp_path: Path) -> None:
    by_documents(corpus_of(tmp_path, [f"document {number}" for number in range(100)]), Shares(0.1, 0))
    assert split_names(tmp_path) == ["documents", "train", "validation"]


def test_a_split_that_gets_nothing_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    corpus_of(tmp_path, ["only one"])
    with pytest.raises(BadInput, match=r"Nothing of the corpus's 1 documents fell into the split"):
        by_documents(tmp_path)
    with pytest.raises(BadInput, match=r"fell into the split validation"):
        by_position(tmp_path, Shares(0.1, 0), "line")
    assert split_names(tmp_path) == ["documents"]
    assert [path.name for path in tmp_path.iterdir()] == ["documents.parquet"]


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (1, 0), (0, 1), (float("nan"), 0)])
def test_shares_that_leave_nothing_for_train_are_refused(tmp_path: Path, shares: tuple[float, float]) -> None:
    corpus_of(tmp_path, ["a text"])
    for split in (by_documents, by_position):
        with pytest.raises(BadInput, match="leave nothing for train"):
            split(tmp_path, Shares(*shares))


@given(st.lists(st.text("ab \n", min_size=1), min_size=1, max_size=8), shares_below_one)
def test_by_position_the_splits_joined_are_the_corpus(texts: list[str], shares: Shares) -> None:
    for boundary in ("character", "line"):
        with tempfile.TemporaryDirectory() as name:
            folder = corpus_of(Path(name), texts)
            try:
                by_position(folder, shares, boundary)
            except BadInput as error:
                assert "fell into the split" in error.problem
                continue
            parts = ["".join(texts_of(folder, split)) for split in split_names(folder) if split != "documents"]
            whole = "".join(texts)
            assert "".join(parts) == whole
            if boundary == "character":
                assert len(parts[0]) == int(len(whole) * (1 - shares.validation - shares.test))


@given(st.lists(st.text("ab\n", min_size=1), min_size=1, max_size=8), shares_below_one)
def test_by_position_a_line_is_never_cut(texts: list[str], shares: Shares) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = corpus_of(Path(name), texts)
        try:
            by_position(folder, shares, "line")
        except BadInput:
            return
        lines = [line for text in texts for line in text.splitlines(keepends=True)]
        found = [
            line
            for split in split_names(folder)
            if split != "documents"
            for text in texts_of(folder, split)
            for line in text.splitlines(keepends=True)
        ]
        assert found == lines


def test_tinyshakespeare_is_split_as_nanogpt_splits_it(tmp_path: Path, test_data: Path) -> None:
    text = (test_data / "tinyshakespeare.txt").read_text()
    by_position(corpus_of(tmp_path, [text]), Shares(0.1, 0))
    train, validation = "".join(texts_of(tmp_path, "train")), "".join(texts_of(tmp_path, "validation"))
    assert (len(train), len(validation)) == (1_003_854, 111_540)
    assert train == text[: int(len(text) * 0.9)]
    assert validation == text[int(len(text) * 0.9) :]


def test_progress_counts_both_readings(tmp_path: Path) -> None:
    corpus_of(tmp_path, ["one\n", "two\n", "three\n", "four\n"])
    calls: list[tuple[int, int]] = []
    split_by_position(
        tmp_path,
        tmp_path,
        Shares(0.3, 0),
        boundary="line",
        similarity=1,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 8) for done in range(1, 9)]
