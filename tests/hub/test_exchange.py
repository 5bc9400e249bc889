"""Models that `transformers` made come in, compute the same, and go out again unchanged."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from published_models import MODELS, TEXT, float64_throughout, save_tokenizer, saved, tokens, transformers

from glassbox.engines.catalogue import engine
from glassbox.engines.model_files import load_arrays
from glassbox.engines.tensors import load_model
from glassbox.errors import BadInput
from glassbox.generation import Decoder
from glassbox.generation.settings import Decoding
from glassbox.hub import Export, Import, ModelFiles
from glassbox.hub.known_families import all_families
from glassbox.hub.tokenizer_files import keep_tokenizer, kept_chat_template, read_chat_template, read_tokenizer
from glassbox.spec import ModelSpec, count_parameters, preset
from glassbox.tokenizers import load
from glassbox.tokenizers.characters import CharacterTokenizer


def imported(theirs: Path, tmp_path: Path, **options: Any) -> Path:
    ours = tmp_path / "ours"
    ours.mkdir()
    Import(theirs).write(ours, **options)
    return ours


def exported(ours: Path, tmp_path: Path, tokenizer: Any = None, *rest: Any, **options: Any) -> Path:
    back = tmp_path / "back"
    back.mkdir()
    Export(ModelFiles(ours)).write(back, tokenizer, *rest, **options)
    return back


@pytest.mark.parametrize("name", MODELS)
def test_an_imported_model_has_the_same_logits_and_writes_the_same_text(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs")
    ours = load_model(imported(tmp_path / "theirs", tmp_path))
    with torch.no_grad():
        expected = theirs(tokens()).logits
        torch.testing.assert_close(ours(tokens())[0], expected, rtol=0, atol=1e-4)
    prompt = tokens(1, 5)
    their_text = theirs.generate(prompt, max_new_tokens=30, do_sample=False, eos_token_id=None, pad_token_id=0)
    our_text = [each.ids[0] for each in Decoder(ours).tokens(prompt.tolist(), Decoding(max_tokens=30, temperature=0))]
    assert our_text == their_text[0, 5:].tolist()


@pytest.mark.parametrize("name", MODELS)
def test_in_float64_the_logits_are_the_same_to_a_billionth(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs", torch.float64)
    folder = imported(tmp_path / "theirs", tmp_path)
    spec = ModelSpec.load(folder / "spec.json")
    ours = engine("tensors").transformer(spec, weights=load_arrays(folder / "model.safetensors"), precision="float64")
    with float64_throughout(), torch.no_grad():
        expected = theirs(tokens()).logits
    torch.testing.assert_close(ours.forward(tokens())[0].detach(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_exported_again_is_what_came(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path / "theirs", torch.bfloat16)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    back = exported(imported(tmp_path / "theirs", tmp_path), tmp_path)
    original, returned = Import(tmp_path / "theirs").folder, Import(back).folder
    assert returned.tensors.keys() == original.tensors.keys()
    for tensor in original.tensors:
        assert returned.read(tensor).tobytes() == original.read(tensor).tobytes()
    again = transformers.AutoModelForCausalLM.from_pretrained(back)
    assert type(again) is type(theirs)
    assert again.dtype == theirs.dtype == torch.bfloat16
    with torch.no_grad():
        torch.testing.assert_close(again(tokens()).logits, theirs(tokens()).logits, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama 3.1"])
def test_shards_are_read_and_written(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    back = exported(imported(tmp_path / "theirs", tmp_path), tmp_path, shard_bytes=15_000)
    files = sorted(back.glob("*.safetensors"))
    assert len(files) > 2
    assert all(file.stat().st_size < 17_000 for file in files)
    again = transformers.AutoModelForCausalLM.from_pretrained(back)
    with torch.no_grad():
        torch.testing.assert_close(again(tokens()).logits, theirs(tokens()).logits, rtol=0, atol=1e-4)


def test_a_bare_gpt2_without_prefix_and_with_old_mask_buffers_is_read(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    theirs = saved("gpt2", tmp_path / "theirs")
    file = tmp_path / "theirs" / "model.safetensors"
    bare = {name.removeprefix("transformer."): weight for name, weight in load_file(file).items()}
    bare["h.0.attn.bias"] = torch.ones(1, 1, 48, 48, dtype=torch.uint8)
    bare["lm_head.weight"] = bare["wte.weight"].clone()
    save_file(bare, file)
    ours = load_model(imported(tmp_path / "theirs", tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens())[0], theirs(tokens()).logits, rtol=0, atol=1e-4)


def test_configs_from_before_transformers_5_are_read(tmp_path: Path) -> None:
    for name, older in {
        "llama 3.1": {"rope_theta": 10_000.0, "rope_scaling": {"type": "llama3", "factor": 8.0,
                      "original_max_position_embeddings": 16, "low_freq_factor": 0.5, "high_freq_factor": 2.0}},
        "neox": {"rotary_emb_base": 10_000, "rotary_pct": 0.25},
    }.items():  # fmt: skip
        saved(name, tmp_path / name)
        config = tmp_path / name / "config.json"
        spec = Import(tmp_path / name).spec
        values = json.loads(config.read_text())
        del values["rope_parameters"]
        config.write_text(json.dumps(values | older))
        assert Import(tmp_path / name).spec == spec


@pytest.mark.parametrize("number_format", ["F64", "F32", "F16", "BF16"])
def test_weights_can_be_stored_in_any_format(number_format: Any, tmp_path: Path) -> None:
    theirs = saved("llama 2", tmp_path / "theirs")
    folder = imported(tmp_path / "theirs", tmp_path, number_format=number_format)
    dtype = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[number_format]
    for name, weight in load_model(folder).weights().items():
        if name == "embedding.tokens":
            torch.testing.assert_close(weight, theirs.model.embed_tokens.weight.detach().to(dtype).float())
    assert engine("arrays").transformer(
        ModelSpec.load(folder / "spec.json"), weights=load_arrays(folder / "model.safetensors")
    )


def test_the_tokenizer_gives_the_same_ids_there_and_back(tmp_path: Path) -> None:
    theirs = save_tokenizer(tmp_path / "theirs")
    saved("llama 3.1", tmp_path / "theirs")
    model = Import(tmp_path / "theirs")
    tokenizer = read_tokenizer(model.folder, model.spec.vocabulary_size)
    template = read_chat_template(model.folder)
    assert tokenizer is not None
    assert template == theirs.chat_template
    ours = imported(tmp_path / "theirs", tmp_path)
    keep_tokenizer(tokenizer, template, ours / "tokenizer")
    for text in (TEXT, "", " Zoë's  ", "<|user|>"):
        assert load(ours / "tokenizer").encode(text, allow_special=True) == theirs.encode(text)
    back = exported(ours, tmp_path, load(ours / "tokenizer"), kept_chat_template(ours / "tokenizer"))
    again = transformers.AutoTokenizer.from_pretrained(back)
    assert again.encode(TEXT) == theirs.encode(TEXT)
    assert again.chat_template == theirs.chat_template
    assert again.eos_token == "<|endoftext|>"


def test_a_prompt_begins_as_texts_did_in_training(tmp_path: Path) -> None:
    """Llama's and Mistral's templates put a token before every text, without which they write worse."""
    theirs, tokenizer = saved("mistral", tmp_path), save_tokenizer(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    mark = {"id": "<|user|>", "ids": [1], "tokens": ["<|user|>"]}
    single = [{"SpecialToken": {"id": "<|user|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    content["post_processor"] = {
        "type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": {"<|user|>": mark},
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    ours = read_tokenizer(Import(tmp_path).folder, 96)
    assert ours is not None
    assert ours.beginning == (1,)
    assert ours.encode("She") == tokenizer.encode("She")
    (tmp_path / "ours").mkdir()
    Import(tmp_path).write(tmp_path / "ours")
    their_prompt = transformers.AutoTokenizer.from_pretrained(tmp_path)("She sells", return_tensors="pt").input_ids
    expected = theirs.generate(their_prompt, max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    [answer] = Decoder(load_model(tmp_path / "ours"), ours).complete(["She sells"], Decoding(8, temperature=0))
    assert [*their_prompt[0].tolist(), *answer.ids] == expected[0].tolist()


def test_a_model_of_our_own_with_characters_is_loaded_by_transformers(tmp_path: Path) -> None:
    from glassbox.engines.tensors import Transformer, save_model

    tokenizer = CharacterTokenizer(TEXT)
    spec = ModelSpec(
        vocabulary_size=tokenizer.vocabulary_size, context=32, width=16, layers=2, heads=2, activation="swiglu"
    )
    (tmp_path / "ours").mkdir()
    model = Transformer(spec, seed=1).eval()
    save_model(model, tmp_path / "ours")
    back = exported(tmp_path / "ours", tmp_path, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(back)
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(back)
    ids = tokenizer.encode("She sells")
    assert their_tokenizer.encode("She sells") == ids
    assert their_tokenizer.decode(ids) == "She sells"
    assert theirs.generation_config.eos_token_id == tokenizer.end_of_text
    with torch.no_grad():
        torch.testing.assert_close(theirs(torch.tensor([ids])).logits, model(torch.tensor([ids]))[0])


def test_the_architecture_that_pretrain_takes_is_loaded_by_transformers(tmp_path: Path) -> None:
    from glassbox.engines.tensors import Transformer, save_model
    from glassbox.training.recipe import recommend

    spec = recommend(100_000, 300, 60, 1e10).spec
    assert not spec.norm_gain
    (tmp_path / "ours").mkdir()
    model = Transformer(spec, seed=1)
    model.load_weights({name: weight + 0.05 * torch.randn_like(weight) for name, weight in model.weights().items()})
    save_model(model, tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported(tmp_path / "ours", tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens()).logits, model(tokens())[0], rtol=0, atol=1e-4)


def test_a_model_that_no_family_computes_is_refused_with_what_they_lack(tmp_path: Path) -> None:
    from glassbox.engines.tensors import Transformer, save_model

    (tmp_path / "ours").mkdir()
    save_model(Transformer(preset("microgpt")), tmp_path / "ours")
    with pytest.raises(BadInput, match=r"No family .* can't say .*embedding_norm = True"):
        Export(ModelFiles(tmp_path / "ours"))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gpt2-small", "gpt2"), ("pythia-160m", "gpt_neox"), ("llama2-7b", "llama"), ("llama3-70b", "llama"),
        ("mistral-7b", "mistral"), ("mixtral-8x7b", "mixtral"),
    ],
)  # fmt: skip
def test_the_presets_are_what_their_families_say(name: str, family: str) -> None:
    [found] = [each for each in all_families() if each.model_type == family]
    assert found.differences(preset(name)) == []


def test_every_family_says_the_same_in_both_directions_for_each_of_its_models(tmp_path: Path) -> None:
    for name in MODELS:
        saved(name, tmp_path / name)
        model = Import(tmp_path / name)
        assert model.family.differences(model.spec) == []


def test_importing_and_exporting_hold_one_tensor_at_a_time(tmp_path: Path) -> None:
    from glassbox.engines.tensors import Transformer, save_model

    spec = ModelSpec(vocabulary_size=1000, context=32, width=128, layers=8, heads=4, activation="swiglu")
    (tmp_path / "ours").mkdir()
    save_model(Transformer(spec), tmp_path / "ours")
    largest = 4 * 1000 * 128
    for move in (
        lambda: exported(tmp_path / "ours", tmp_path),
        lambda: imported(tmp_path / "back", tmp_path / "again"),
    ):
        (tmp_path / "again").mkdir(exist_ok=True)
        tracemalloc.start()
        move()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2.5 * largest < 4 * count_parameters(spec).total / 4
