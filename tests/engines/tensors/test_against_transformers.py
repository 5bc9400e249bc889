"""The architecture has an outside referee: published models in `transformers`, with the same random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.spec import Experts, ModelSpec, RotaryScaling

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

Names = dict[str, Callable[[dict[str, Tensor]], Tensor]]  # our name -> their tensor

SIZES: dict[str, Any] = {"vocabulary_size": 31, "context": 24, "width": 24, "layers": 2, "heads": 4}


@contextmanager
def float64_throughout() -> Iterator[None]:
    """`transformers` computes norms, angles and slopes in float32 whatever the model's type is; not within this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)
        patch.setattr(torch, "float", torch.float64)
        patch.setattr(Tensor, "float", Tensor.double)
        yield


def randomized(model: Any) -> Any:
    """In float64 with weights large enough that nothing stays linear, biases and gains among them."""
    torch.manual_seed(0)
    model = model.double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


def same(name: str) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda theirs: theirs[name]


def turned(name: str) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda theirs: theirs[name].t()


def rows(name: str, start: int, end: int) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda theirs: theirs[name][start:end]


def columns(name: str, start: int, end: int) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda theirs: theirs[name][..., start:end].t()


def interleaved(name: str, part: int, heads: int) -> Callable[[dict[str, Tensor]], Tensor]:
    """NeoX and BLOOM store query, key and value of one head side by side."""
    return lambda theirs: theirs[name].unflatten(0, (heads, 3, -1))[:, part].flatten(0, 1)


def assert_same(kind: Any, config: Any, spec: ModelSpec, names: Names) -> None:
    """Same logits and same gradients of the loss, to 1e-9."""
    if spec.experts is not None:  # the load-balancing loss is compared alone
        spec = spec.replace(experts=spec.experts.model_copy(update={"balance": 0.0}))
    with float64_throughout():
        theirs = randomized(kind(config))
    held = dict(theirs.named_parameters())
    ours = Transformer(spec, weights={name: take(held).detach() for name, take in names.items()}).double()
    ours.load_weights({name: take(held).detach() for name, take in names.items()})
    tokens = torch.randint(0, spec.vocabulary_size, (3, 20), generator=torch.Generator().manual_seed(1))
    logits, details = ours(tokens[:, :-1], tokens[:, 1:])
    with float64_throughout():
        expected = theirs(tokens[:, :-1]).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
    ours.backward(details)
    torch.nn.functional.cross_entropy(expected.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    slopes = {name: weight.grad for name, weight in held.items() if weight.grad is not None}
    gradients = ours.gradients()
    assert gradients.keys() == names.keys()
    for name, take in names.items():
        torch.testing.assert_close(gradients[name], take(slopes), rtol=0, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


def test_gpt2_is_learned_positions_layer_norm_tanh_gelu_and_tied_embeddings_with_all_biases() -> None:
    width = SIZES["width"]
    names: Names = {
        "embedding.tokens": same("transformer.wte.weight"),
        "embedding.positions": same("transformer.wpe.weight"),
        "final_norm.gain": same("transformer.ln_f.weight"),
        "final_norm.bias": same("transformer.ln_f.bias"),
    }
    for layer in range(SIZES["layers"]):
        ours, their = f"blocks.{layer}", f"transformer.h.{layer}"
        for norm, name in (("attention_norm", "ln_1"), ("feedforward_norm", "ln_2")):
            names[f"{ours}.{norm}.gain"] = same(f"{their}.{name}.weight")
            names[f"{ours}.{norm}.bias"] = same(f"{their}.{name}.bias")
        for part, name in enumerate(("query", "key", "value")):
            start, end = part * width, (part + 1) * width
            names[f"{ours}.attention.{name}"] = columns(f"{their}.attn.c_attn.weight", start, end)
            names[f"{ours}.attention.{name}_bias"] = rows(f"{their}.attn.c_attn.bias", start, end)
        for name, other in (
            ("attention.output", "attn.c_proj"),
            ("feedforward.up", "mlp.c_fc"),
            ("feedforward.down", "mlp.c_proj"),
        ):
            names[f"{ours}.{name}"] = turned(f"{their}.{other}.weight")
            names[f"{ours}.{name}_bias"] = same(f"{their}.{other}.bias")
    spec = ModelSpec(
        **SIZES, positions="learned", norm="layer", norm_bias=True, attention_bias="all", feedforward_bias=True,
        activation="gelu_tanh", tied_embeddings=True,
    )  # fmt: skip
    config = transformers.GPT2Config(
        vocab_size=31, n_positions=24, n_embd=width, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    assert_same(transformers.GPT2LMHeadModel, config, spec, names)


def llama_names(layers: int, *, head_norms: bool = False) -> Names:
    names: Names = {
        "embedding.tokens": same("model.embed_tokens.weight"),
        "final_norm.gain": same("model.norm.weight"),
        "output.weight": same("lm_head.weight"),
    }
    pairs = {
        "attention_norm.gain": "input_layernorm",
        "attention.query": "self_attn.q_proj",
        "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj",
        "attention.output": "self_attn.o_proj",
        "feedforward_norm.gain": "post_attention_layernorm",
        "feedforward.gate": "mlp.gate_proj",
        "feedforward.up": "mlp.up_proj",
        "feedforward.down": "mlp.down_proj",
    }
    if head_norms:
        pairs |= {"attention.query_norm.gain": "self_attn.q_norm", "attention.key_norm.gain": "self_attn.k_norm"}
    for layer in range(layers):
        for ours, theirs in pairs.items():
            names[f"blocks.{layer}.{ours}"] = same(f"model.layers.{layer}.{theirs}.weight")
    return names


LLAMA_LIKE: dict[str, Any] = {
    "vocab_size": 31, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 24, "tie_word_embeddings": False, "rms_norm_eps": 1e-5,
}  # fmt: skip


def test_llama_is_rotary_rms_norm_swiglu_and_grouped_queries() -> None:
    spec = ModelSpec(**SIZES, key_value_heads=2, activation="swiglu", hidden_width=40)
    config = transformers.LlamaConfig(**LLAMA_LIKE)
    assert_same(transformers.LlamaForCausalLM, config, spec, llama_names(2))


@pytest.mark.parametrize("kind", ["linear", "llama3"])
def test_llama_3_1_slows_the_rotation_of_slow_pairs(kind: Literal["linear", "llama3"]) -> None:
    scaling = RotaryScaling(kind=kind, factor=8, original_context=16, fast_turns=2, slow_turns=0.5)
    spec = ModelSpec(
        **SIZES, key_value_heads=2, head_width=16, activation="swiglu", hidden_width=40, rotary_scaling=scaling
    )
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 8.0}
    if kind == "llama3":
        rope |= {"original_max_position_embeddings": 16, "high_freq_factor": 2.0, "low_freq_factor": 0.5}
    config = transformers.LlamaConfig(**LLAMA_LIKE, head_dim=16, rope_parameters=rope)
    assert_same(transformers.LlamaForCausalLM, config, spec, llama_names(2))


def test_mistral_looks_back_no_further_than_its_window() -> None:
    spec = ModelSpec(**SIZES, key_value_heads=2, activation="swiglu", hidden_width=40, window=5)
    config = transformers.MistralConfig(**LLAMA_LIKE, sliding_window=5, attn_implementation="eager")
    assert_same(transformers.MistralForCausalLM, config, spec, llama_names(2))


def test_qwen3_normalises_queries_and_keys_of_each_head() -> None:
    spec = ModelSpec(**SIZES, key_value_heads=2, head_width=8, activation="swiglu", hidden_width=40, qk_norm=True)
    config = transformers.Qwen3Config(**LLAMA_LIKE, head_dim=8)
    assert_same(transformers.Qwen3ForCausalLM, config, spec, llama_names(2, head_norms=True))


def half(name: str, part: int) -> Callable[[dict[str, Tensor]], Tensor]:
    """Each expert's gate and up matrix lie one behind the other."""
    return lambda theirs: theirs[name].chunk(2, 1)[part]


def mixture_names(layers: int) -> Names:
    names = {name: take for name, take in llama_names(layers).items() if ".feedforward." not in name}
    for layer in range(layers):
        ours, their = f"blocks.{layer}.feedforward", f"model.layers.{layer}.mlp"
        names[f"{ours}.router"] = same(f"{their}.gate.weight")
        names[f"{ours}.experts.gate"] = half(f"{their}.experts.gate_up_proj", 0)
        names[f"{ours}.experts.up"] = half(f"{their}.experts.gate_up_proj", 1)
        names[f"{ours}.experts.down"] = same(f"{their}.experts.down_proj")
    return names


def test_mixtral_sends_each_token_to_two_experts_whose_weights_sum_to_one() -> None:
    experts = Experts(count=5, active=2, hidden_width=40)
    spec = ModelSpec(**SIZES, key_value_heads=2, activation="swiglu", experts=experts, rotary_base=1e6)
    config = transformers.MixtralConfig(
        **LLAMA_LIKE, num_local_experts=5, num_experts_per_tok=2, sliding_window=None, experts_implementation="eager"
    )
    assert_same(transformers.MixtralForCausalLM, config, spec, mixture_names(2))


@pytest.mark.parametrize("normalized", [False, True])
def test_qwen_moe_has_a_gate_on_the_shared_experts_and_need_not_normalise(normalized: bool) -> None:
    experts = Experts(count=6, active=3, hidden_width=8, shared=2, shared_gate=True, normalized=normalized)
    spec = ModelSpec(**SIZES, key_value_heads=2, activation="swiglu", attention_bias="inputs", experts=experts)
    config = transformers.Qwen2MoeConfig(
        **LLAMA_LIKE, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=8, norm_topk_prob=normalized,
        shared_expert_intermediate_size=16, experts_implementation="eager",
    )  # fmt: skip
    names = mixture_names(2)
    for layer in range(2):
        ours, their = f"blocks.{layer}.feedforward", f"model.layers.{layer}.mlp"
        names[f"{ours}.shared_gate"] = same(f"{their}.shared_expert_gate.weight")
        for part in ("gate", "up", "down"):
            names[f"{ours}.shared.{part}"] = same(f"{their}.shared_expert.{part}_proj.weight")
        for name in ("query", "key", "value"):
            bias = f"model.layers.{layer}.self_attn.{name[0]}_proj.bias"
            names[f"blocks.{layer}.attention.{name}_bias"] = same(bias)
    assert_same(transformers.Qwen2MoeForCausalLM, config, spec, names)


@pytest.mark.parametrize("active", [1, 3])
def test_the_load_balancing_loss_of_a_layer_is_the_one_that_mixtral_is_trained_with(active: int) -> None:
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    experts = Experts(count=5, active=active, hidden_width=3)
    model = Transformer(ModelSpec(**{**SIZES, "layers": 1}, experts=experts, initial_std=1.0))
    tokens = torch.randint(0, 31, (4, 20), generator=torch.Generator().manual_seed(1))
    _, details = model(tokens, tokens, keep="*.router_logits")
    logits = details.values["blocks.0.feedforward.router_logits"].flatten(0, 1)
    torch.testing.assert_close(details.balance, load_balancing_loss_func((logits,), 5, active))


def test_neox_rotates_a_part_of_each_head_and_adds_both_parts_to_one_stream() -> None:
    names: Names = {
        "embedding.tokens": same("gpt_neox.embed_in.weight"),
        "final_norm.gain": same("gpt_neox.final_layer_norm.weight"),
        "final_norm.bias": same("gpt_neox.final_layer_norm.bias"),
        "output.weight": same("lm_head.weight"),
    }
    for layer in range(SIZES["layers"]):
        ours, their = f"blocks.{layer}", f"gpt_neox.layers.{layer}"
        for norm, name in (("attention_norm", "input_layernorm"), ("feedforward_norm", "post_attention_layernorm")):
            names[f"{ours}.{norm}.gain"] = same(f"{their}.{name}.weight")
            names[f"{ours}.{norm}.bias"] = same(f"{their}.{name}.bias")
        for part, name in enumerate(("query", "key", "value")):
            joint = f"{their}.attention.query_key_value"
            names[f"{ours}.attention.{name}"] = interleaved(f"{joint}.weight", part, 4)
            names[f"{ours}.attention.{name}_bias"] = interleaved(f"{joint}.bias", part, 4)
        for name, other in (
            ("attention.output", "attention.dense"),
            ("feedforward.up", "mlp.dense_h_to_4h"),
            ("feedforward.down", "mlp.dense_4h_to_h"),
        ):
            names[f"{ours}.{name}"] = same(f"{their}.{other}.weight")
            names[f"{ours}.{name}_bias"] = same(f"{their}.{other}.bias")
    spec = ModelSpec(
        **{**SIZES, "width": 32}, rotary_fraction=0.5, norm="layer", norm_bias=True, attention_bias="all",
        feedforward_bias=True, activation="gelu", parallel_residual=True,
    )  # fmt: skip
    config = transformers.GPTNeoXConfig(
        vocab_size=31, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=24, rotary_pct=0.5, use_parallel_residual=True, hidden_act="gelu",
        hidden_dropout=0, attention_dropout=0, bos_token_id=0, eos_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    )  # fmt: skip
    assert_same(transformers.GPTNeoXForCausalLM, config, spec, names)


@pytest.mark.parametrize("heads", [4, 6])
def test_bloom_penalises_distance_and_normalises_its_embedding(heads: int) -> None:
    names: Names = {
        "embedding.tokens": same("transformer.word_embeddings.weight"),
        "embedding_norm.gain": same("transformer.word_embeddings_layernorm.weight"),
        "embedding_norm.bias": same("transformer.word_embeddings_layernorm.bias"),
        "final_norm.gain": same("transformer.ln_f.weight"),
        "final_norm.bias": same("transformer.ln_f.bias"),
    }
    for layer in range(SIZES["layers"]):
        ours, their = f"blocks.{layer}", f"transformer.h.{layer}"
        for norm, name in (("attention_norm", "input_layernorm"), ("feedforward_norm", "post_attention_layernorm")):
            names[f"{ours}.{norm}.gain"] = same(f"{their}.{name}.weight")
            names[f"{ours}.{norm}.bias"] = same(f"{their}.{name}.bias")
        for part, name in enumerate(("query", "key", "value")):
            joint = f"{their}.self_attention.query_key_value"
            names[f"{ours}.attention.{name}"] = interleaved(f"{joint}.weight", part, heads)
            names[f"{ours}.attention.{name}_bias"] = interleaved(f"{joint}.bias", part, heads)
        for name, other in (
            ("attention.output", "self_attention.dense"),
            ("feedforward.up", "mlp.dense_h_to_4h"),
            ("feedforward.down", "mlp.dense_4h_to_h"),
        ):
            names[f"{ours}.{name}"] = same(f"{their}.{other}.weight")
            names[f"{ours}.{name}_bias"] = same(f"{their}.{other}.bias")
    spec = ModelSpec(
        **{**SIZES, "heads": heads}, positions="alibi", norm="layer", norm_bias=True, attention_bias="all",
        feedforward_bias=True, activation="gelu_tanh", embedding_norm=True, tied_embeddings=True,
    )  # fmt: skip
    config = transformers.BloomConfig(
        vocab_size=31, hidden_size=24, n_layer=2, n_head=heads, hidden_dropout=0, attention_dropout=0,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    assert_same(transformers.BloomForCausalLM, config, spec, names)
