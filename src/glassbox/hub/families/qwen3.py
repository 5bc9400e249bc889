"""Qwen 3 (Yang et al. 2025): Llama with queries and keys normalised per head."""

from __future__ import annotations

from typing import Any

from glassbox.hub.config import Config
from glassbox.hub.families.llama import IGNORED, read_fields, read_gate, tensors, write_fields
from glassbox.hub.families.qwen2 import read_layers_window, write_layers_window
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec


def read(config: Config) -> ModelSpec:
    fields = read_fields(config)
    return ModelSpec.checked(
        {
            **fields,
            "activation": read_gate(config),
            "head_width": config.whole("head_dim", 128),
            "attention_bias": "all" if config.flag("attention_bias", default=False) else "none",
            "qk_norm": True,
            "window": read_layers_window(config),
        }
    )


def write(spec: ModelSpec) -> dict[str, Any]:
    return {**write_fields(spec), "attention_bias": spec.attention_bias == "all", **write_layers_window(spec)}


FAMILY = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="model.",
    ignored=IGNORED,
)
