"""Weights on disk."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import torch
from drawn_specs import model_of, specs, tokens_of
from hypothesis import given, settings

from glassbox.engines.tensors import Transformer, load_model, save_model, save_weights
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec

SPEC = ModelSpec(vocabulary_size=13, context=8, width=12, layers=2, heads=4, head_width=4)


@given(spec=specs())
@settings(max_examples=15)
def test_a_saved_model_comes_back_with_every_bit(tmp_path_factory: pytest.TempPathFactory, spec: ModelSpec) -> None:
    folder, model = tmp_path_factory.mktemp("model"), model_of(spec, dtype=torch.float32)
    save_model(model, folder)
    again = load_model(folder)
    tokens = tokens_of(spec, 2, 7)
    assert again.spec == spec
    assert torch.equal(again(tokens)[0], model(tokens)[0])


def test_missing_damaged_and_foreign_files_are_bad_input(tmp_path: Path) -> None:
    save_model(Transformer(SPEC), tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for content in (b"", b"\xff" * 100, whole[: len(whole) // 2], whole[:-1]):
        weights.write_bytes(content)
        with pytest.raises(BadInput, match=r"model\.safetensors .*(promises a header|should have)"):
            load_model(tmp_path)
    weights.unlink()
    with pytest.raises(BadInput, match=r"model\.safetensors can't be read"):
        load_model(tmp_path)


def test_weights_of_another_spec_are_named_with_both_shapes(tmp_path: Path) -> None:
    save_model(Transformer(SPEC.replace(vocabulary_size=20)), tmp_path)
    SPEC.save(tmp_path / "spec.json")
    with pytest.raises(BadInput, match=r"embedding.tokens has shape \(20, 12\), and this model's has \(13, 12\)"):
        load_model(tmp_path)


def test_a_file_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not be written"):
        save_weights(Transformer(SPEC).weights(), tmp_path / "no such folder" / "model.safetensors")


def test_loading_holds_the_model_once_and_one_tensor_besides(tmp_path: Path) -> None:
    spec = SPEC.replace(width=64, layers=12, vocabulary_size=200)
    save_model(Transformer(spec), tmp_path)
    largest = max(weight.nbytes for weight in Transformer(spec).weights().values())
    tracemalloc.start()  # which sees what NumPy reads, and not PyTorch's parameters
    load_model(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * largest + 500_000
