"""Weights on disk: safetensors with canonical names, so that every engine and other tools can read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from glassbox.engines.checks import check_weights
from glassbox.engines.model_files import QUANTIZATION_FILE
from glassbox.engines.tensors.quantized import QuantizedTransformer, load_quantization
from glassbox.engines.tensors.transformer import Transformer
from glassbox.errors import BadInput
from glassbox.hub.tensor_file import stored_tensors
from glassbox.spec import ModelSpec

WEIGHTS_FILE = "model.safetensors"
SPEC_FILE = "spec.json"


def save_weights(weights: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors by name. Raises BadInput when the file cannot be written (a full disk, a read-only folder)."""
    # The file format holds each tensor alone; query, key and value share one storage while they are computed with.
    alone = {
        name: weight.detach().cpu().clone(memory_format=torch.contiguous_format) for name, weight in weights.items()
    }
    try:
        save_file(alone, file, metadata={"format": "pt"})
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"The weights could not be written to {file}: {error}.", "Free some space there, or choose another folder."
        ) from None


def load_weights(file: Path) -> dict[str, Tensor]:
    """Read tensors by name. Raises BadInput when the file is missing, damaged or no safetensors file."""
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"No weights could be read from {file}: {error}.", "Give a safetensors file that was written completely."
        ) from None


def save_model(model: Transformer, folder: Path) -> None:
    """Write spec.json and model.safetensors into a folder that exists."""
    model.spec.save(folder / SPEC_FILE)
    save_weights(model.weights(), folder / WEIGHTS_FILE)


def load_model(folder: Path) -> Transformer:
    """The model of a folder with spec.json and model.safetensors, ready to read: float32, no dropout.

    Weights are read one by one, so that memory holds the model once. A quantised model comes as a
    `QuantizedTransformer`.

    Raises BadInput when a file is missing or damaged, or when the weights aren't the spec's (naming the tensor and
    both shapes).
    """
    spec = ModelSpec.load(folder / SPEC_FILE)
    if (folder / QUANTIZATION_FILE).exists():
        return QuantizedTransformer(spec, load_quantization(folder), load_weights(folder / WEIGHTS_FILE))
    weights = stored_tensors(folder / WEIGHTS_FILE)
    check_weights({name: weight.shape for name, weight in weights.items()}, spec)  # before anything is allocated
    return Transformer(spec, weights=weights).eval()
