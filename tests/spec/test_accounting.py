"""Counts are exact: they equal what transformers builds and what the papers publish."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.spec import (
    ModelSpec,
    count_flops,
    count_parameters,
    part_of,
    preset,
    presets,
    weight_shapes,
)
from glassbox.spec.accounting import attended_positions

PUBLISHED = {  # from the papers' tables and the models' cards
    "microgpt": 4_192,
    "gpt2-small": 124_439_808,
    "llama2-7b": 6_738_415_616,
    "llama3-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-moe-16b": 16_375_728_128,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "qwen3-30b-a3b": 30_532_122_624,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "bart-base": 139_420_416 - 2 * 2 * 768,  # BART's tables of positions have two rows that nothing reads
    "bart-large": 406_291_456 - 2 * 2 * 1_024,
    "bert-base": 109_514_298,
    "bert-large": 335_174_458,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
}


@pytest.mark.parametrize(("name", "total"), PUBLISHED.items())
def test_a_preset_counts_what_its_authors_published(name: str, total: int) -> None:
    assert count_parameters(preset(name)).total == total


def test_gpt2_without_embeddings_is_the_number_that_everyone_quotes() -> None:
    assert count_parameters(preset("gpt2-small")).without_embeddings == 85_056_000


def _transformers_model(name: str) -> object:
    """The same model as transformers describes it, on the meta device: shapes without memory."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    spec = preset(name)
    sizes = {"vocab_size": spec.vocabulary_size, "hidden_size": spec.width, "num_hidden_layers": spec.layers}
    if name.startswith("gpt2"):
        config = transformers.GPT2Config(n_embd=spec.width, n_layer=spec.layers, n_head=spec.heads)
        build = transformers.GPT2LMHeadModel
    elif name.startswith("bert"):
        config = transformers.BertConfig(
            hidden_size=spec.width, num_hidden_layers=spec.layers, num_attention_heads=spec.heads,
            intermediate_size=spec.hidden_width,
        )  # fmt: skip
        build = transformers.BertForMaskedLM
    elif name.startswith("t5"):
        config = transformers.T5Config(
            d_model=spec.width, num_layers=spec.layers, num_heads=spec.heads, d_ff=spec.hidden_width, vocab_size=32_128
        )
        build = transformers.T5ForConditionalGeneration
    elif name.startswith("qwen"):
        assert spec.experts is not None
        config = transformers.Qwen3MoeConfig(
            **sizes,
            head_dim=spec.head_width,
            num_attention_heads=spec.heads,
            num_key_value_heads=spec.key_value_heads,
            num_experts=spec.experts.count,
            moe_intermediate_size=spec.experts.hidden_width,
            tie_word_embeddings=False,
        )
        build = transformers.Qwen3MoeForCausalLM
    elif name.startswith("pythia"):
        config = transformers.GPTNeoXConfig(
            **sizes, num_attention_heads=spec.heads, intermediate_size=spec.hidden_width, tie_word_embeddings=False
        )
        build = transformers.GPTNeoXForCausalLM
    else:
        config = transformers.MistralConfig(
            **sizes,
            num_attention_heads=spec.heads,
            num_key_value_heads=spec.key_value_heads,
            intermediate_size=spec.hidden_width,
            tie_word_embeddings=False,
        )
        build = transformers.MistralForCausalLM
    with torch.device("meta"):
        return build(config)


@pytest.mark.parametrize(
    "name",
    [
        "gpt2-small",
        "gpt2-medium",
        "gpt2-large",
        "gpt2-xl",
        "pythia-410m",
        "pythia-12b",
        "llama3-70b",
        "mistral-7b",
        "qwen3-30b-a3b",
        "t5-small",
        "t5-large",
        "bert-base",
        "bert-large",
    ],
)
def test_a_preset_counts_what_transformers_builds(name: str) -> None:
    model = _transformers_model(name)
    count = count_parameters(preset(name))
    assert count.total == model.num_parameters()
    assert count.without_embeddings == model.num_parameters(exclude_embeddings=True)


@pytest.mark.parametrize("name", presets())
def test_parts_add_up_to_the_whole(name: str) -> None:
    count = count_parameters(preset(name))
    assert sum(count.by_part.values()) == count.total == sum(map(math.prod, weight_shapes(preset(name)).values()))
    assert count.without_embeddings <= count.total
    assert count.active <= count.total


def test_a_token_visits_only_the_active_experts() -> None:
    assert count_parameters(preset("mixtral-8x7b")).active == 12_879_925_248  # "13B active" in the paper
    assert count_parameters(preset("qwen1.5-moe-a2.7b")).active == pytest.approx(2.7e9, rel=0.01)
    assert count_flops(preset("mixtral-8x7b")).forward < 2 * count_parameters(preset("mixtral-8x7b")).total


def test_forward_flops_are_near_two_per_weight_when_texts_are_short() -> None:
    spec = preset("llama2-7b")
    looked_up = spec.vocabulary_size * spec.width
    flops = count_flops(spec, context=1)
    attention = spec.layers * 4 * spec.heads * spec.head_width
    matrices = sum(math.prod(s) for n, s in weight_shapes(spec).items() if len(s) == 2)
    assert flops.forward == 2 * (matrices - looked_up) + attention
    assert flops.training == 3 * flops.forward


def test_an_encoder_decoder_attends_in_three_ways() -> None:
    """Of one token read and one written: what its layers see of a text of 100, and two FLOPs for each weight."""
    spec = preset("t5-small")
    flops, weights = count_flops(spec, context=100), count_parameters(spec).total
    tables = 32_128 * 512 + 2 * 32 * 8
    seen = 6 * 100 + 6 * 100 + 6 * 50.5  # the encoder and cross-attention everything, the decoder half of it
    norms = (6 * 2 + 6 * 3 + 2) * 512
    assert flops.forward == 2 * (weights - tables - norms) + 2 * 32_128 * 512 + 4 * 512 * seen


@given(length=st.integers(1, 40), window=st.one_of(st.none(), st.integers(1, 50)), causal=st.booleans())
def test_attended_positions_equal_a_count_over_the_mask(length: int, window: int | None, causal: bool) -> None:
    reach = window or length
    pairs = sum(abs(i - j) < reach and (j <= i or not causal) for i in range(length) for j in range(length))
    assert attended_positions(length, window, causal=causal) == pytest.approx(pairs / length)


def test_a_length_that_the_model_cannot_read_is_refused() -> None:
    with pytest.raises(BadInput, match="1 to 1024"):
        count_flops(preset("gpt2-small"), context=2_000)


def test_every_weight_has_exactly_one_part_and_names_never_repeat() -> None:
    spec = ModelSpec.checked(
        {
            "kind": "encoder-decoder",
            "encoder_layers": 2,
            "vocabulary_size": 10,
            "context": 8,
            "width": 8,
            "layers": 2,
            "heads": 2,
            "positions": "learned",
            "norm_placement": "sandwich",
            "norm": "layer",
            "norm_bias": True,
            "qk_norm": True,
            "attention_bias": "all",
            "feedforward_bias": True,
            "embedding_norm": True,
            "output_bias": True,
        }
    )
    parts = {name: part_of(name) for name in weight_shapes(spec)}
    assert parts["encoder.blocks.1.attention.query"] == "attention"
    assert parts["blocks.0.cross_attention.output_bias"] == "attention"
    assert parts["blocks.0.cross_attention.query_norm.gain"] == "norms"
    assert parts["encoder.embedding.positions"] == "positions"
    assert parts["blocks.1.feedforward.up_bias"] == "feedforward"
    assert parts["embedding_norm.bias"] == "norms"
    assert parts["output.bias"] == "output"


def test_describing_seventy_billion_parameters_allocates_nothing_and_imports_no_tensor_library() -> None:
    code = (
        "import json, sys; from glassbox.spec import count_parameters, preset;"
        "total = count_parameters(preset('llama3-70b')).total;"
        "print(json.dumps([total, 'torch' in sys.modules, 'numpy' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [70_553_706_496, False, False]
