from __future__ import annotations

from pathlib import Path

import pytest

from glassbox.engines.tensors import Transformer, save_model
from glassbox.errors import BadInput
from glassbox.insight import Reader, trace
from glassbox.spec import ModelSpec
from glassbox.tokenizers.characters import CharacterTokenizer

SPEC = ModelSpec(vocabulary_size=6, context=5, width=8, layers=1, heads=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(Transformer(SPEC, 0), tmp_path)
    (tmp_path / "tokenizer").mkdir()
    CharacterTokenizer("abcd\n").save(tmp_path / "tokenizer")
    return tmp_path


def test_a_text_is_read_behind_the_mark_of_a_beginning(folder: Path):
    reader = Reader.load(folder)
    tokens = reader.tokens("ab\n")
    assert tokens.tolist() == [[5, 1, 2, 0]]
    assert reader.pieces(tokens) == ["<|bos|>", "a", "b", "\n"]
    seen = trace(reader, "ab", ["blocks.0.attention.weights"], gradients=["logits"])
    assert seen.values["blocks.0.attention.weights"].shape == (1, 2, 3, 3)
    assert seen.gradients["logits"].shape == (1, 3, 6)


def test_an_encoder_reads_the_text_alone(folder: Path):
    Transformer(SPEC.replace(kind="encoder"), 0).spec.save(folder / "spec.json")
    assert Reader.load(folder).tokens("ab").tolist() == [[1, 2]]
    with pytest.raises(BadInput, match="empty"):
        Reader.load(folder).tokens("")


def test_an_encoder_with_marks_reads_the_text_between_them(folder: Path):
    Transformer(SPEC.replace(kind="encoder"), 0).spec.save(folder / "spec.json")
    CharacterTokenizer("abcd", special_tokens=("[SEP]", "[CLS]")).save(folder / "tokenizer")
    assert Reader.load(folder).tokens("ab").tolist() == [[5, 0, 1, 4]]


def test_texts_that_the_model_cannot_read_are_refused(folder: Path):
    reader = Reader.load(folder)
    with pytest.raises(BadInput, match="6 tokens"):
        reader.tokens("abcda")
    with pytest.raises(BadInput, match="'x'"):
        reader.tokens("x")


def test_folders_without_their_tokenizer_are_refused(folder: Path, tmp_path: Path):
    CharacterTokenizer("abcdefgh").save(folder / "tokenizer")
    with pytest.raises(BadInput, match="knows 6 ids"):
        Reader.load(folder)
    with pytest.raises(BadInput, match="no tokenizer beside it"):
        Reader.load(tmp_path / "elsewhere")
