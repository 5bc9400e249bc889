"""A model on disk, whichever engine it lived in: spec.json, and model.safetensors with canonical names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save

from glassbox.engines.catalogue import Engine, as_array
from glassbox.engines.interface import Transformer
from glassbox.errors import BadInput
from glassbox.hub.number_formats import widen
from glassbox.hub.tensor_file import TensorFile
from glassbox.spec import ModelSpec
from glassbox.workspace import atomic

SPEC_FILE, WEIGHTS_FILE, QUANTIZATION_FILE = "spec.json", "model.safetensors", "quantization.json"


def save_model(model: Transformer, folder: Path) -> None:
    """Write both files into a folder that exists, in the precision that the model computes in. Raises OSError."""
    model.spec.save(folder / SPEC_FILE)
    save_arrays(model.weights(), folder / WEIGHTS_FILE)


def load_model(folder: Path, engine: Engine) -> Transformer:
    """The saved model in any engine.

    Raises BadInput when a file is missing or damaged, when the weights aren't the spec's, or when they are quantised.
    """
    if (folder / QUANTIZATION_FILE).exists():
        raise BadInput(
            f"The model in {folder} is quantised, and only the tensors engine reads such weights.",
            "Choose the model that it was made from.",
        )
    return engine.transformer(ModelSpec.load(folder / SPEC_FILE), weights=load_arrays(folder / WEIGHTS_FILE))


def save_arrays(named: Mapping[str, Any], file: Path) -> None:
    """Write values of any engine by name, whole or not at all. Raises OSError."""
    atomic.write_file(file, save({name: as_array(value).copy(order="C") for name, value in named.items()}))


def load_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """bfloat16, which NumPy hasn't, and float16 become float32.

    Raises BadInput when the file is missing, damaged or no safetensors file.
    """
    held = TensorFile(file)
    return {name: widen(held.read(name), entry.type) for name, entry in held.entries.items()}
