"""Mistral (Jiang et al. 2023): Llama with attention in a sliding window."""

from __future__ import annotations

from typing import Any

from glassbox.hub.config import Config
from glassbox.hub.families.llama import IGNORED, read_fields, read_gate, tensors, write_fields
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec


def read(config: Config) -> ModelSpec:
    return ModelSpec.checked({**read_fields(config), "activation": read_gate(config), "window": read_window(config)})


def read_window(config: Config) -> int | None:
    """None also for a window that no text is long enough to notice."""
    context = config.whole("max_position_embeddings")
    window = config.whole("sliding_window", context)
    return window if window < context else None


def write(spec: ModelSpec) -> dict[str, Any]:
    return {**write_fields(spec), "sliding_window": spec.window}


FAMILY = Family(
    model_type="mistral",
    architecture="MistralForCausalLM",
    read=read,
    write=write,
    tensors=tensors,
    prefix="model.",
    ignored=IGNORED,
)
