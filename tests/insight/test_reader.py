from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from glassbox.engines.tensors import Transformer, save_model
from glassbox.errors import BadInput
from glassbox.insight import Reader, attribute_logits, trace
from glassbox.spec import ModelSpec
from glassbox.stages.execution import execute
from glassbox.stages.registry import load_stage
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workspace import Workspace

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


def test_an_imported_model_s_text_begins_with_its_own_mark(folder: Path):
    reader = Reader.load(folder)
    reader.tokenizer.beginning = (4,)
    assert reader.tokens("ab").tolist() == [[4, 1, 2]]


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


def test_an_encoder_decoder_needs_two_texts(folder: Path):
    reader = Reader(
        Transformer(SPEC.replace(kind="encoder-decoder", encoder_layers=1), 0), CharacterTokenizer("abcd\n")
    )
    with pytest.raises(BadInput, match="a single text came"):
        reader.tokens("ab")


def test_folders_without_their_tokenizer_are_refused(folder: Path, tmp_path: Path):
    CharacterTokenizer("abcdefgh").save(folder / "tokenizer")
    with pytest.raises(BadInput, match="knows 6 ids"):
        Reader.load(folder)
    with pytest.raises(BadInput, match=r"spec\.json is missing"):
        Reader.load(tmp_path / "elsewhere")
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(BadInput, match="no tokenizer beside it"):
        Reader.load(folder)


def test_a_quantised_model_can_be_looked_into(folder: Path, tmp_path: Path):
    workspace = Workspace(tmp_path / "workspace")
    with workspace.artifacts.draft("model", "small") as draft:
        save_model(Transformer(SPEC, 0), draft.folder)
        (draft.folder / "training.json").write_text("{}")
        shutil.copytree(folder / "tokenizer", draft.folder / "tokenizer")
    stage = load_stage("quantize")
    outputs = execute(stage, stage.settings(method="int8"), workspace, {"model": draft.artifact}).outputs
    whole, quantised = Reader.load(folder), Reader.load(outputs["model"].folder)
    names = ["blocks.0.attention.scores", "blocks.0.residual"]
    expected, found = (trace(reader, "abc", names, gradients=names) for reader in (whole, quantised))
    for name in names:
        seen = expected.values[name].isfinite()
        assert (found.values[name][seen] - expected.values[name][seen]).abs().max() < 0.01
        assert (found.gradients[name] - expected.gradients[name]).abs().max() < 0.01
    said = attribute_logits(quantised.model, quantised.tokens("abc"), quantised.tokens("bcd"))
    logits = quantised.model.forward(quantised.tokens("abc"))[0]
    assert said.logits[0, 0].item() == pytest.approx(logits[0, 0, quantised.tokens("bcd")[0, 0]].item(), abs=1e-4)
