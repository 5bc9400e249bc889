"""BERT with each of its heads comes in, computes the same, and goes out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_models import VOCABULARY, float64_throughout, transformers

from glassbox.engines.catalogue import engine
from glassbox.engines.model_files import load_arrays
from glassbox.engines.tensors import load_model
from glassbox.errors import BadInput
from glassbox.hub import Export, Import, ModelFiles
from glassbox.spec import ModelSpec, preset

CONFIG: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 40, "max_position_embeddings": 48, "num_labels": 3, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
HEADS = {"BertForMaskedLM": "logits", "BertForSequenceClassification": "logits", "BertModel": "last_hidden_state"}


def saved(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(3)
    model = getattr(transformers, name)(transformers.BertConfig(**CONFIG)).to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder)
    return model


def drawn(most: int, seed: int) -> torch.Tensor:
    return torch.randint(0, most, (2, 20), generator=torch.Generator().manual_seed(seed))


TOKENS, TYPES = drawn(VOCABULARY, 1), drawn(2, 2)


def imported(theirs: Path, tmp_path: Path) -> Path:
    (tmp_path / "ours").mkdir()
    Import(theirs).write(tmp_path / "ours")
    return tmp_path / "ours"


@pytest.mark.parametrize("name", HEADS)
def test_predictions_are_the_same_there_and_back(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs")
    ours = imported(tmp_path / "theirs", tmp_path)
    with torch.no_grad():
        expected = theirs(TOKENS, token_type_ids=TYPES)[HEADS[name]]
        found, _ = load_model(ours)(TOKENS, types=TYPES)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    (ours / "huggingface" / "config.json").unlink()
    (tmp_path / "back").mkdir()
    Export(ModelFiles(ours)).write(tmp_path / "back", None)
    again = getattr(transformers, name).from_pretrained(tmp_path / "back")
    with torch.no_grad():
        torch.testing.assert_close(again(TOKENS, token_type_ids=TYPES)[HEADS[name]], expected, rtol=0, atol=0)
    assert Import(tmp_path / "back").spec == Import(tmp_path / "theirs").spec


@pytest.mark.parametrize("name", HEADS)
def test_in_float64_they_are_the_same_to_a_billionth(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs", torch.float64)
    folder = imported(tmp_path / "theirs", tmp_path)
    spec = ModelSpec.load(folder / "spec.json")
    ours: Any = engine("tensors").transformer(
        spec, weights=load_arrays(folder / "model.safetensors"), precision="float64"
    )
    with float64_throughout(), torch.no_grad():
        expected = theirs(TOKENS, token_type_ids=TYPES)[HEADS[name]]
    torch.testing.assert_close(ours(TOKENS, types=TYPES)[0].detach(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", HEADS)
def test_onnxruntime_gives_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from glassbox.hub.onnx.exporting import OnnxExport

    theirs = saved(name, tmp_path / "theirs")
    (tmp_path / "onnx").mkdir()
    OnnxExport(ModelFiles(imported(tmp_path / "theirs", tmp_path))).write(tmp_path / "onnx", None)
    running = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    [found] = running.run(["logits"], {"tokens": TOKENS.numpy(), "types": TYPES.numpy()})
    with torch.no_grad():
        expected = theirs(TOKENS, token_type_ids=TYPES)[HEADS[name]]
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)


def test_old_names_and_what_a_model_has_no_use_for_are_no_hindrance(tmp_path: Path) -> None:
    """As in bert-base-uncased, which was saved before names were settled."""
    from safetensors.torch import load_file, save_file

    saved("BertForMaskedLM", tmp_path / "theirs")
    (tmp_path / "modern").mkdir()
    Import(tmp_path / "theirs").write(tmp_path / "modern")
    expected = load_arrays(tmp_path / "modern" / "model.safetensors")
    file = tmp_path / "theirs" / "model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight
        for name, weight in load_file(file).items()
    }
    old |= {
        "bert.pooler.dense.weight": torch.zeros(24, 24),
        "cls.seq_relationship.bias": torch.zeros(2),
        "cls.predictions.decoder.weight": old["bert.embeddings.word_embeddings.weight"].clone(),
    }
    save_file(old, file)
    found = load_arrays(imported(tmp_path / "theirs", tmp_path) / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(found[name], weight)


@pytest.mark.parametrize("architectures", [None, [], ["BertForQuestionAnswering"], "BertModel", [3]])
def test_other_kinds_of_bert_are_refused(architectures: Any, tmp_path: Path) -> None:
    import json

    saved("BertModel", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": architectures}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="a kind of BERT that Glassbox doesn't carry"):
        Import(tmp_path)


def test_a_real_bert_in_the_cache_gives_the_same_vectors_and_attention(tmp_path: Path) -> None:
    """Of the text and the layers of a real encoder, where the hub's cache on this machine has one."""
    library: Any = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    config = library.try_to_load_from_cache("google-bert/bert-base-uncased", "config.json")
    weights = library.try_to_load_from_cache("google-bert/bert-base-uncased", "model.safetensors")
    if not (isinstance(config, str) and isinstance(weights, str)):
        pytest.skip("the hub's cache on this machine has no google-bert/bert-base-uncased")
    theirs = transformers.BertForMaskedLM.from_pretrained(Path(config).parent, attn_implementation="eager")
    ours = load_model(imported(Path(config).parent, tmp_path))
    tokens = torch.randint(1000, 20_000, (1, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(tokens, output_attentions=True, output_hidden_states=True)
        logits, details = ours(tokens, keep=["embedding_norm.output", "blocks.*.attention.weights"])
    torch.testing.assert_close(logits, expected.logits, rtol=0, atol=1e-3)
    torch.testing.assert_close(details.values["embedding_norm.output"], expected.hidden_states[0], rtol=0, atol=1e-4)
    for layer, weights_there in enumerate(expected.attentions):
        found = details.values[f"blocks.{layer}.attention.weights"]
        torch.testing.assert_close(found, weights_there, rtol=0, atol=1e-4)


def test_the_preset_is_what_the_family_says() -> None:
    from glassbox.hub.families.bert import FAMILY

    assert FAMILY.differences(preset("bert-base")) == []
