"""Tiny models of every family, made and saved by `transformers` itself, and a tokenizer of Hugging Face's library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
# It has tables of number formats, to be made before any is renamed.
pytest.importorskip("transformers.modeling_utils", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

VOCABULARY = 96
LLAMA: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 48, "rms_norm_eps": 1e-5,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
LLAMA_3_1 = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "original_max_position_embeddings": 16,
    "low_freq_factor": 0.5, "high_freq_factor": 2.0,
}  # fmt: skip
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY, "n_positions": 48, "n_embd": 24, "n_layer": 2, "n_head": 4, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
NEOX: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 48, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
QWEN_WINDOW = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 0}

MODELS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)),
    "gpt2, untied, another hidden width": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**GPT2, n_inner=40, activation_function="relu", tie_word_embeddings=False)
    ),
    "neox": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**NEOX)),
    "neox, in sequence, without biases": lambda: transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(**NEOX, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_fast")
    ),
    "llama 2": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA | {"num_key_value_heads": 4})),
    "llama 3, tied, with biases": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**LLAMA, head_dim=8, tie_word_embeddings=True, attention_bias=True, mlp_bias=True)
    ),
    "llama, gated by a GELU": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**LLAMA, hidden_act="gelu_pytorch_tanh")
    ),
    "llama 3.1": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**LLAMA, head_dim=16, rope_parameters=LLAMA_3_1)
    ),
    "mistral": lambda: transformers.MistralForCausalLM(
        transformers.MistralConfig(**LLAMA, sliding_window=7, attn_implementation="eager")
    ),
    "mixtral": lambda: transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**LLAMA, num_local_experts=4, experts_implementation="eager")
    ),
    "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**LLAMA)),
    "qwen2, windowed": lambda: transformers.Qwen2ForCausalLM(
        transformers.Qwen2Config(**LLAMA, **QWEN_WINDOW, attn_implementation="eager")
    ),
    "apertus, with a squared ReLU": lambda: transformers.ApertusForCausalLM(
        transformers.ApertusConfig(**LLAMA, hidden_act="relu2", rope_parameters=DEFAULT_ROPE)
    ),
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**LLAMA, head_dim=8)),
}


@contextmanager
def float64_throughout() -> Iterator[None]:
    """`transformers` computes norms and angles in float32 whatever the model's type is; not within this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)
        patch.setattr(torch, "float", torch.float64)
        patch.setattr(Tensor, "float", Tensor.double)
        yield


def saved(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A model of `MODELS` with weights that leave nothing linear, biases and gains among them; written to `folder`."""
    torch.manual_seed(len(name))
    if dtype == torch.float64:
        with float64_throughout():
            model = MODELS[name]()
    else:
        model = MODELS[name]()
    model = model.to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder)
    return model


def tokens(batch: int = 3, length: int = 30) -> Tensor:
    """Random ids, (batch, length)."""
    return torch.randint(0, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(1))


TEXT = "She sells sea shells by the sea shore. The shells she sells are surely seashells, says Zoë — or not?\n" * 4


def save_tokenizer(folder: Path) -> Any:
    """A small byte-level tokenizer with special tokens and a chat template, as `transformers` saves it."""
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted({symbol for word, _ in library.pre_tokenizer.pre_tokenize_str(TEXT) for symbol in word})
    library.train_from_iterator([TEXT], tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY - 4, special_tokens=["<|endoftext|>", "<|user|>"], initial_alphabet=alphabet,
        show_progress=False,
    ))  # fmt: skip
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=library, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    fast.chat_template = "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}"
    fast.save_pretrained(folder)
    return fast
