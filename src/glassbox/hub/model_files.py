"""The files of a model of ours that exchange reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glassbox.errors import BadInput
from glassbox.hub.number_formats import Format, as_format
from glassbox.hub.tensor_file import TensorFile
from glassbox.spec import ModelSpec, weight_shapes

SPEC = "spec.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer"  # a folder
THEIR_FILES = "huggingface"
"""A folder with what an imported model said about itself in Hugging Face's words: config.json and the like."""


class ModelFiles:
    """A model's folder: its spec, and its weights to be read one by one.

    Raises BadInput when a file is missing or damaged, or when the weights aren't plain numbers of the spec's shapes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = ModelSpec.load(folder / SPEC)
        self.shapes = weight_shapes(self.spec)
        self.formats: dict[str, Format] = {}
        self._file = TensorFile(folder / WEIGHTS)
        for name, shape in self.shapes.items():
            entry = self._file.entries.get(name)
            code = None if entry is None else as_format(entry.type)
            if entry is None or code is None or entry.shape != shape:
                came = "missing" if entry is None else f"{entry.type} of shape {entry.shape}"
                raise BadInput(
                    f"The weight {name} in {folder / WEIGHTS} should be plain numbers of shape {shape}, and is {came}.",
                    "Choose a model that isn't quantised, and whose folder is as it was published.",
                )
            self.formats[name] = code

    def read(self, name: str) -> NDArray[Any]:
        """One weight, in the NumPy type of its format. Raises BadInput if the file changed."""
        return self._file.read(name)

    def with_gains(self) -> ModelFiles:
        """The same model, its norms with gains of one where they have none: families that have gains carry it so."""
        return self if self.spec.norm_gain else _WithGains(self)


class _WithGains(ModelFiles):
    def __init__(self, model: ModelFiles) -> None:
        self.folder = model.folder
        self.spec = model.spec.replace(norm_gain=True)
        self.shapes = weight_shapes(self.spec)
        self.formats = {name: model.formats.get(name, "F32") for name in self.shapes}
        self._model = model

    def read(self, name: str) -> NDArray[Any]:
        return self._model.read(name) if name in self._model.shapes else np.ones(self.shapes[name], np.float32)
