"""Which of llama.cpp's architectures computes what a model does, and what its numbers and tensors are called there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glassbox.errors import BadInput
from glassbox.hub.correspondence import Array, Correspondence, Layout, Same, Shape, Stacked, same
from glassbox.hub.gguf.file import Value
from glassbox.hub.known_families import family_that_carries
from glassbox.spec import ModelSpec

ARCHITECTURES = {
    "gpt2": "gpt2", "gpt_neox": "gptneox", "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2",
    "qwen3": "qwen3",
}  # fmt: skip
"""Family -> architecture."""

ROUTER = "ffn_gate_inp"
KEPT_IN_FLOAT32 = ("position_embd", ROUTER)  # matrices that llama.cpp wants so; vectors are always


@dataclass(frozen=True)
class RotaryPairs(Layout):
    """Queries or keys whose rotated pairs lie side by side, as llama.cpp's `llama` turns them; ours lie half a head
    apart."""

    heads: int

    def their_shapes(self, ours: Sequence[Shape]) -> list[Shape]:
        return list(ours)

    def to_ours(self, theirs: Sequence[Array], shapes: Sequence[Shape]) -> list[Array]:
        apart = theirs[0].reshape(self.heads, -1, 2, *theirs[0].shape[1:])  # (heads, pairs, 2, ...)
        return [np.swapaxes(apart, 1, 2).reshape(theirs[0].shape)]

    def to_theirs(self, ours: Sequence[Array]) -> list[Array]:
        apart = ours[0].reshape(self.heads, 2, -1, *ours[0].shape[1:])  # (heads, 2, pairs, ...)
        return [np.swapaxes(apart, 1, 2).reshape(ours[0].shape)]


def architecture_of(spec: ModelSpec) -> str:
    """Raises BadInput for a model that no architecture of llama.cpp computes."""
    family = family_that_carries(spec)
    architecture = ARCHITECTURES.get(family.model_type)
    if architecture is None:
        lacking = f"nothing for this {family.model_type}"
    elif spec.activation not in ("gelu", "gelu_tanh", "swiglu"):
        lacking = f"no activation {spec.activation} in its {architecture}"
    elif architecture == "gptneox" and spec.attention_bias == "none":
        lacking = "no gptneox without biases"
    else:
        return architecture
    raise BadInput(f"llama.cpp has {lacking}.", "Export to Hugging Face's format or to ONNX.")


def values(spec: ModelSpec, architecture: str) -> dict[str, Value]:
    """The sizes and constants, as `<architecture>.<name>`."""
    numbers: dict[str, Value] = {
        # llama.cpp's llama has no sliding window; in a text no longer than the window, there is no difference.
        "context_length": min(spec.context, spec.window or spec.context),
        "embedding_length": spec.width,
        "block_count": spec.layers,
        "feed_forward_length": spec.experts.hidden_width if spec.experts else spec.hidden_width,
        "attention.head_count": spec.heads,
        "vocab_size": spec.vocabulary_size,
    }
    if spec.norm == "rms":
        numbers["attention.layer_norm_rms_epsilon"] = spec.norm_epsilon
    else:
        numbers["attention.layer_norm_epsilon"] = spec.norm_epsilon
    if spec.positions == "rotary":
        numbers |= {"rope.dimension_count": spec.rotated_width, "rope.freq_base": spec.rotary_base}
        if spec.rotary_scaling and spec.rotary_scaling.kind == "linear":
            numbers |= {"rope.scaling.type": "linear", "rope.scaling.factor": spec.rotary_scaling.factor}
    if architecture == "gptneox":
        numbers["use_parallel_residual"] = spec.parallel_residual
    if architecture not in ("gpt2", "gptneox"):
        numbers |= {
            "attention.head_count_kv": spec.key_value_heads,
            "attention.key_length": spec.head_width,
            "attention.value_length": spec.head_width,
        }
    if spec.experts:
        numbers |= {"expert_count": spec.experts.count, "expert_used_count": spec.experts.active}
    return {f"{architecture}.{name}": value for name, value in numbers.items()}


def tensors(spec: ModelSpec, architecture: str) -> Iterator[Correspondence]:
    """Where each weight goes."""
    yield same("token_embd.weight", "embedding.tokens")
    if spec.positions == "learned":
        yield same("position_embd.weight", "embedding.positions")
    for layer in range(spec.layers):
        theirs, ours = f"blk.{layer}", f"blocks.{layer}"
        yield from _norm(spec, f"{theirs}.attn_norm", f"{ours}.attention_norm")
        if architecture in ("gpt2", "gptneox"):
            yield from _fused_attention(spec, theirs, f"{ours}.attention")
        else:
            yield from _attention(spec, architecture, theirs, f"{ours}.attention")
        yield from _norm(spec, f"{theirs}.ffn_norm", f"{ours}.feedforward_norm")
        yield from _feedforward(spec, theirs, f"{ours}.feedforward", layer)
    yield from _norm(spec, "output_norm", "final_norm")
    if not spec.tied_embeddings:
        yield same("output.weight", "output.weight")


def _norm(spec: ModelSpec, theirs: str, ours: str) -> Iterator[Correspondence]:
    yield same(f"{theirs}.weight", f"{ours}.gain")
    if spec.norm_bias:
        yield same(f"{theirs}.bias", f"{ours}.bias")


def _fused_attention(spec: ModelSpec, theirs: str, ours: str) -> Iterator[Correspondence]:
    parts = [("weight", "")] + ([("bias", "_bias")] if spec.attention_bias == "all" else [])
    for their_end, our_end in parts:
        names = tuple(f"{ours}.{name}{our_end}" for name in ("query", "key", "value"))
        yield Correspondence((f"{theirs}.attn_qkv.{their_end}",), names, Stacked())
        yield same(f"{theirs}.attn_output.{their_end}", f"{ours}.output{our_end}")


def _attention(spec: ModelSpec, architecture: str, theirs: str, ours: str) -> Iterator[Correspondence]:
    for letter, name, heads in (("q", "query", spec.heads), ("k", "key", spec.key_value_heads)):
        layout = RotaryPairs(heads) if architecture == "llama" else Same()
        yield Correspondence((f"{theirs}.attn_{letter}.weight",), (f"{ours}.{name}",), layout)
        if spec.attention_bias != "none":
            yield Correspondence((f"{theirs}.attn_{letter}.bias",), (f"{ours}.{name}_bias",), layout)
        if spec.qk_norm:
            yield same(f"{theirs}.attn_{letter}_norm.weight", f"{ours}.{name}_norm.gain")
    yield same(f"{theirs}.attn_v.weight", f"{ours}.value")
    if spec.attention_bias != "none":
        yield same(f"{theirs}.attn_v.bias", f"{ours}.value_bias")
    yield same(f"{theirs}.attn_output.weight", f"{ours}.output")
    if spec.attention_bias == "all":
        yield same(f"{theirs}.attn_output.bias", f"{ours}.output_bias")


def _feedforward(spec: ModelSpec, theirs: str, ours: str, layer: int) -> Iterator[Correspondence]:
    names = ("gate", "up", "down") if spec.gated else ("up", "down")
    if spec.has_experts(layer):
        yield same(f"{theirs}.{ROUTER}.weight", f"{ours}.router")
        for name in names:
            yield same(f"{theirs}.ffn_{name}_exps.weight", f"{ours}.experts.{name}")
        return
    for name in names:
        yield same(f"{theirs}.ffn_{name}.weight", f"{ours}.{name}")
        if spec.feedforward_bias:
            yield same(f"{theirs}.ffn_{name}.bias", f"{ours}.{name}_bias")
