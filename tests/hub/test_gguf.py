"""GGUF files, read back with the package of that format's own project, and run by llama.cpp where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_models import MODELS, TEXT, save_tokenizer, saved, tokenizers, tokens

from glassbox.engines.tensors import Transformer, load_model, save_model
from glassbox.errors import BadInput
from glassbox.hub import Import, ModelFiles
from glassbox.hub.gguf.architectures import RotaryPairs
from glassbox.hub.gguf.exporting import GgufExport
from glassbox.hub.gguf.file import GgufWriter
from glassbox.hub.gguf.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, vocabulary
from glassbox.spec import ModelSpec, preset
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer
from glassbox.tokenizers.splitting import GPT2, GPT4

gguf: Any = pytest.importorskip("gguf", reason="gguf is not installed")


def exported(name: str, tmp_path: Path, **options: Any) -> tuple[Any, ModelFiles]:
    """The file of a model of `MODELS`, opened by the package, and our folder."""
    saved(name, tmp_path / "theirs")
    save_tokenizer(tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    Import(tmp_path / "theirs").write(tmp_path / "ours")
    model = ModelFiles(tmp_path / "ours")
    tokenizer = HuggingFaceTokenizer.from_tokenizer_json(tmp_path / "theirs" / "tokenizer.json")
    GgufExport(model, "small").write(tmp_path / "model.gguf", tokenizer, "{{ messages }}", **options)
    return gguf.GGUFReader(tmp_path / "model.gguf"), model


def value(reader: Any, name: str) -> Any:
    return reader.get_field(name).contents()


NOT_CARRIED = (
    "gpt2, untied, another hidden width",  # a ReLU
    "neox, in sequence, without biases",
    "llama, gated by a GELU",
    "apertus, with a squared ReLU",
)
CARRIED = [name for name in MODELS if name not in NOT_CARRIED]


@pytest.mark.parametrize("name", CARRIED)
def test_every_tensor_is_read_back_under_a_name_of_its_architecture(name: str, tmp_path: Path) -> None:
    reader, model = exported(name, tmp_path)
    architecture = value(reader, "general.architecture")
    [known] = [each for each, word in gguf.MODEL_ARCH_NAMES.items() if word == architecture]
    names = gguf.get_tensor_name_map(known, model.spec.layers)
    for tensor in reader.tensors:
        stem, _, end = tensor.name.rpartition(".")
        assert names.get_name(stem) == stem, tensor.name
        assert end in ("weight", "bias")
    held = {tensor.name: tensor.data for tensor in reader.tensors}
    np.testing.assert_array_equal(held["token_embd.weight"], model.read("embedding.tokens"))
    for theirs, ours in (("ffn_down", "down"), ("ffn_down_exps", "experts.down")):
        if f"blk.1.{theirs}.weight" in held:
            expected = model.read(f"blocks.1.feedforward.{ours}")
            np.testing.assert_array_equal(held[f"blk.1.{theirs}.weight"], expected)
    numbers = sum(np.prod(shape) for shape in model.shapes.values())
    assert sum(data.size for key, data in held.items() if key != "rope_freqs.weight") == numbers
    assert value(reader, f"{architecture}.block_count") == 2
    assert value(reader, f"{architecture}.attention.head_count") == 4


def test_queries_of_llama_are_laid_out_as_its_own_converter_does(tmp_path: Path) -> None:
    reader, model = exported("llama 3.1", tmp_path)
    held = {tensor.name: tensor.data for tensor in reader.tensors}
    for letter, name, heads in (("q", "query", 4), ("k", "key", 2)):
        weight = model.read(f"blocks.0.attention.{name}")
        # Channel i of the first half of a head and channel i of its second half come to lie side by side.
        expected = np.empty_like(weight)
        for head in range(heads):
            start = head * 16
            for pair in range(8):
                expected[start + 2 * pair] = weight[start + pair]
                expected[start + 2 * pair + 1] = weight[start + 8 + pair]
        np.testing.assert_array_equal(held[f"blk.0.attn_{letter}.weight"], expected)
        layout = RotaryPairs(heads)
        np.testing.assert_array_equal(layout.to_ours([expected], [weight.shape])[0], weight)
    factors = held["rope_freqs.weight"]
    assert factors.shape == (8,)
    assert factors[0] == 1
    assert factors[-1] == 8


@pytest.mark.parametrize(("number_format", "kind"), [("F32", "F32"), ("F16", "F16"), ("BF16", "BF16")])
def test_matrices_have_the_format_asked_for_and_vectors_float32(number_format: Any, kind: str, tmp_path: Path) -> None:
    reader, _ = exported("qwen2", tmp_path, number_format=number_format)
    for tensor in reader.tensors:
        assert tensor.tensor_type.name == (kind if len(tensor.shape) > 1 else "F32")


def test_the_tokenizer_goes_along(tmp_path: Path) -> None:
    reader, _ = exported("gpt2", tmp_path)
    content = json.loads((tmp_path / "theirs" / "tokenizer.json").read_text())
    written = value(reader, "tokenizer.ggml.tokens")
    assert len(written) == 96
    for spelling, id in content["model"]["vocab"].items():
        assert written[id] == spelling
    assert value(reader, "tokenizer.ggml.merges") == [" ".join(pair) for pair in content["model"]["merges"]]
    assert value(reader, "tokenizer.ggml.model") == "gpt2"
    assert value(reader, "tokenizer.ggml.pre") == "gpt-2"
    assert value(reader, "tokenizer.ggml.eos_token_id") == 0
    assert value(reader, "tokenizer.ggml.add_bos_token") is False
    assert value(reader, "tokenizer.chat_template") == "{{ messages }}"
    kinds = value(reader, "tokenizer.ggml.token_type")
    assert kinds[:3] == [CONTROL, CONTROL, NORMAL]
    assert kinds[-1] == UNUSED


@pytest.mark.parametrize(("pattern", "name"), [(GPT2, "gpt-2"), (GPT4, "smaug-bpe")])
def test_our_own_byte_pairs_are_split_by_a_pattern_that_llama_cpp_has(pattern: Any, name: str) -> None:
    tokenizer = BytePairTokenizer([(0, 1)], pattern)
    assert vocabulary(tokenizer, 300, None)["tokenizer.ggml.pre"] == name


def sentence_piece(**changes: Any) -> HuggingFaceTokenizer:
    """A tokenizer as those of Llama 2 are converted."""
    pieces = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", "a", "b", "ab", "▁ab"]
    content = {
        "version": "1.0", "pre_tokenizer": None, "post_processor": None, "truncation": None, "padding": None,
        "added_tokens": [
            {"id": id, "content": pieces[id], "special": True, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False} for id in range(3)
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "decoder": {"type": "ByteFallback"},
        "model": {"type": "BPE", "vocab": {piece: id for id, piece in enumerate(pieces)}, "unk_token": "<unk>",
                  "merges": ["a b", "▁ ab"], "byte_fallback": True, "fuse_unk": True, "dropout": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None},
    } | changes  # fmt: skip
    return HuggingFaceTokenizer(json.dumps(content))


def test_pieces_of_llama_2_score_by_when_they_were_merged() -> None:
    values: Any = vocabulary(sentence_piece(), 10, None)
    assert values["tokenizer.ggml.model"] == "llama"
    assert values["tokenizer.ggml.token_type"] == [UNKNOWN, CONTROL, CONTROL, BYTE, *[NORMAL] * 5, UNUSED]
    assert values["tokenizer.ggml.scores"][7:] == [0.0, -1.0, 0.0]
    assert values["tokenizer.ggml.add_space_prefix"] is True
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": False}
    values = vocabulary(sentence_piece(normalizer=None, pre_tokenizer=metaspace), 10, None)
    assert values["tokenizer.ggml.add_space_prefix"] is False


def test_tokenizers_that_llama_cpp_would_run_otherwise_are_refused() -> None:
    with pytest.raises(BadInput, match="its model is WordLevel"):
        vocabulary(CharacterTokenizer("abc"), 10, None)
    with pytest.raises(BadInput, match="treats blanks otherwise"):
        vocabulary(sentence_piece(normalizer={"type": "NFKC"}), 10, None)
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    for splitter, said in {
        "Whitespace": "isn't plainly byte-level",
        "Digits": "pattern that llama.cpp isn't known to have",
    }.items():
        steps = [getattr(tokenizers.pre_tokenizers, splitter)()]
        if splitter == "Digits":
            steps.append(tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False))
        library.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(steps)
        library.train_from_iterator([TEXT], tokenizers.trainers.BpeTrainer(vocab_size=60, show_progress=False))
        with pytest.raises(BadInput, match=said):
            vocabulary(HuggingFaceTokenizer(library.to_str()), 100, None)
    library.normalizer = tokenizers.normalizers.Lowercase()
    with pytest.raises(BadInput, match="changes text before"):
        vocabulary(HuggingFaceTokenizer(library.to_str()), 100, None)


def test_models_that_llama_cpp_computes_otherwise_are_refused(tmp_path: Path) -> None:
    cases = {
        "can't say": preset("microgpt"),
        "no activation geglu in its llama": ModelSpec(
            vocabulary_size=9, context=8, width=8, layers=1, heads=2, activation="geglu"
        ),
        "no gptneox without biases": preset("pythia-70m").replace(
            attention_bias="none", width=8, heads=1, layers=1, vocabulary_size=9, hidden_width=8
        ),
    }
    for number, (said, spec) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_model(Transformer(spec), folder)
        with pytest.raises(BadInput, match=said):
            GgufExport(ModelFiles(folder), "x")


def test_float64_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="doesn't compute in float64"):
        exported("llama 2", tmp_path, number_format="F64")


def test_a_window_becomes_the_context(tmp_path: Path) -> None:
    reader, _ = exported("mistral", tmp_path)
    assert value(reader, "llama.context_length") == 7


def test_a_writer_demands_what_was_announced(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never written: a"), GgufWriter(tmp_path / "x", {}, {"a": ("F32", (1,))}):
        pass
    with pytest.raises(ValueError, match="announced"):
        GgufWriter(tmp_path / "x", {}, {"a": ("F32", (1,))}).write("a", np.zeros(2, np.float32))


@pytest.mark.parametrize("name", CARRIED)
def test_llama_cpp_predicts_the_same(name: str, tmp_path: Path) -> None:
    """Skipped where xllamacpp, a wheel with llama.cpp in it, isn't installed.

    To 0.02 of a natural logarithm: llama.cpp keeps its cache, and a table for GELU, in float16.
    """
    xllamacpp: Any = pytest.importorskip("xllamacpp", reason="llama.cpp is not installed")
    _, model = exported(name, tmp_path)
    ours = load_model(model.folder)
    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.warmup = str(tmp_path / "model.gguf"), 48, False
    parameters.cpuparams.n_threads = 1
    server = xllamacpp.Server(parameters)
    asked = {"max_tokens": 1, "temperature": 0, "n_probs": 20, "ignore_eos": True, "cache_prompt": False}
    compared = 0
    for length in range(1, 7):  # within Mistral's window
        prompt = tokens(1, length)
        answer = server.handle_completions({"prompt": prompt[0].tolist(), **asked})
        logprobs = answer["choices"][0]["logprobs"]  # None for a token that ends within a character
        for said in [] if logprobs is None else logprobs["content"]:
            with torch.no_grad():
                expected = ours(prompt)[0][0, -1].log_softmax(-1)
            for each in said["top_logprobs"]:
                if np.isfinite(each["logprob"]) and each["logprob"] > -20:  # the end token, which was ruled out
                    assert each["logprob"] == pytest.approx(float(expected[each["id"]]), abs=0.02)
                    compared += 1
    assert compared > 40
