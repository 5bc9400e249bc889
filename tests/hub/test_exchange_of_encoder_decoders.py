"""T5 and BART that `transformers` made come in, compute the same, and go out again unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_models import VOCABULARY, float64_throughout, transformers

from glassbox.engines.catalogue import engine
from glassbox.engines.model_files import load_arrays
from glassbox.engines.tensors import load_model
from glassbox.errors import BadInput
from glassbox.hub import Export, Import, ModelFiles
from glassbox.hub.gguf.exporting import GgufExport
from glassbox.spec import ModelSpec, preset

T5: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 24, "d_kv": 6, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2,
    "num_heads": 4, "dropout_rate": 0, "n_positions": 48,
}  # fmt: skip
BART: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 24, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40, "max_position_embeddings": 48,
    "dropout": 0,
}  # fmt: skip
MODELS: dict[str, Callable[[], Any]] = {
    "t5": lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**T5)),
    "t5, gated": lambda: transformers.T5ForConditionalGeneration(
        transformers.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "bart": lambda: transformers.BartForConditionalGeneration(transformers.BartConfig(**BART)),
    "bart, scaled": lambda: transformers.BartForConditionalGeneration(
        transformers.BartConfig(**BART, scale_embedding=True, activation_function="relu")
    ),
}


def saved(name: str, folder: Path, dtype: torch.dtype) -> Any:
    """With weights that leave nothing linear, written to `folder`."""
    torch.manual_seed(len(name))
    with float64_throughout() if dtype == torch.float64 else torch.no_grad():
        model = MODELS[name]().to(dtype).eval()
    with torch.no_grad():
        for weight in (*model.parameters(), *(each for key, each in model.named_buffers() if "logits_bias" in key)):
            weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder)
    return model


def drawn(length: int, seed: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (2, length), generator=torch.Generator().manual_seed(seed))


SOURCE, TOKENS = drawn(11, 1), drawn(9, 2)


def imported(theirs: Path, tmp_path: Path) -> Path:
    (tmp_path / "ours").mkdir()
    Import(theirs).write(tmp_path / "ours")
    return tmp_path / "ours"


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_the_text_written_are_the_same(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs", torch.float32)
    ours = load_model(imported(tmp_path / "theirs", tmp_path))
    with torch.no_grad():
        expected = theirs(SOURCE, decoder_input_ids=TOKENS).logits
        torch.testing.assert_close(ours(TOKENS, source=SOURCE)[0], expected, rtol=0, atol=1e-4)
        written = theirs.generate(
            SOURCE[:1], max_new_tokens=12, min_new_tokens=12, do_sample=False, num_beams=1, decoder_start_token_id=0,
            eos_token_id=None, forced_eos_token_id=None, forced_bos_token_id=None,
        )  # fmt: skip
    assert ours.generate([0], 12, source=SOURCE[0].tolist()) == written[0].tolist()


@pytest.mark.parametrize("name", MODELS)
def test_in_float64_the_logits_are_the_same_to_a_billionth(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs", torch.float64)
    folder = imported(tmp_path / "theirs", tmp_path)
    spec = ModelSpec.load(folder / "spec.json")
    ours = engine("tensors").transformer(spec, weights=load_arrays(folder / "model.safetensors"), precision="float64")
    with float64_throughout(), torch.no_grad():
        expected = theirs(SOURCE, decoder_input_ids=TOKENS).logits
    torch.testing.assert_close(ours.forward(TOKENS, source=SOURCE)[0].detach(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_exported_again_computes_what_came(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path / "theirs", torch.float32)
    ours = imported(tmp_path / "theirs", tmp_path)
    (ours / "huggingface" / "config.json").unlink()  # so that our own words are read
    (tmp_path / "back").mkdir()
    Export(ModelFiles(ours)).write(tmp_path / "back", None)
    original, returned = Import(tmp_path / "theirs").folder, Import(tmp_path / "back").folder
    assert returned.tensors.keys() == original.tensors.keys()
    for tensor in original.tensors:
        if "embed_positions" in tensor:  # but for two rows that no position has
            assert returned.read(tensor)[2:].tobytes() == original.read(tensor)[2:].tobytes()
        else:
            assert returned.read(tensor).tobytes() == original.read(tensor).tobytes()
    theirs, again = (
        transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / folder) for folder in ("theirs", "back")
    )
    with torch.no_grad():
        expected, found = (each(SOURCE, decoder_input_ids=TOKENS).logits for each in (theirs, again))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["t5-small", "t5-large"])
def test_the_presets_are_what_their_family_says(name: str) -> None:
    from glassbox.hub.families.t5 import FAMILY

    assert FAMILY.differences(preset(name)) == []


def test_llama_cpp_is_not_asked_to_run_them(tmp_path: Path) -> None:
    saved("t5", tmp_path / "theirs", torch.float32)
    with pytest.raises(BadInput, match=r"llama\.cpp has nothing for this t5"):
        GgufExport(ModelFiles(imported(tmp_path / "theirs", tmp_path)), "x")


def test_a_copy_of_the_embedding_that_differs_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved("t5", tmp_path / "theirs", torch.float32)
    file = tmp_path / "theirs" / "model.safetensors"
    held = load_file(file)
    save_file(held | {"encoder.embed_tokens.weight": held["shared.weight"].clone()}, file)
    Import(tmp_path / "theirs")
    save_file(held | {"encoder.embed_tokens.weight": held["shared.weight"] + 1}, file)
    with pytest.raises(BadInput, match=r"holds the tensor 'encoder\.embed_tokens"):
        Import(tmp_path / "theirs")
