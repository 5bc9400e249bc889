"""Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases on query, key and value."""

from __future__ import annotations

from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.config import Config
from glassbox.hub.families.llama import IGNORED, read_fields, read_gate, tensors, write_fields
from glassbox.hub.families.mistral import read_window
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec


def read(config: Config) -> ModelSpec:
    fields = {**read_fields(config), "activation": read_gate(config), "attention_bias": "inputs"}
    return ModelSpec.checked({**fields, "window": read_layers_window(config)})


def read_layers_window(config: Config) -> int | None:
    """The window of all layers. Raises BadInput where some have it and some not, which the spec can't say."""
    if not config.flag("use_sliding_window", default=False):
        return None
    layers = config.whole("num_hidden_layers", most=10_000)
    kinds: Any = config.values.get("layer_types")
    if kinds is None:
        first = config.whole("max_window_layers", 28, least=0)
        kinds = ["sliding_attention" if layer >= first else "full_attention" for layer in range(layers)]
    if kinds == ["full_attention"] * layers:
        return None
    if kinds != ["sliding_attention"] * layers:
        raise BadInput(
            f"layer_types in {config.source} gives a sliding window to some layers only, which Glassbox doesn't carry.",
            "Choose a model whose layers all attend alike.",
        )
    return read_window(config)


def write(spec: ModelSpec) -> dict[str, Any]:
    return {**write_fields(spec), **write_layers_window(spec)}


def write_layers_window(spec: ModelSpec) -> dict[str, Any]:
    windowed = spec.window is not None
    return {
        "use_sliding_window": windowed,
        "sliding_window": spec.window,
        "max_window_layers": 0 if windowed else spec.layers,
        "layer_types": ["sliding_attention" if windowed else "full_attention"] * spec.layers,
    }


FAMILY = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="model.",
    ignored=IGNORED,
)
