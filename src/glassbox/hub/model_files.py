"""The files of a model of ours that exchange reads and writes."""

from __future__ import annotations

from pathlib import Path

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
        self.weights = TensorFile(folder / WEIGHTS)
        self.formats: dict[str, Format] = {}
        for name, shape in weight_shapes(self.spec).items():
            entry = self.weights.entries.get(name)
            code = None if entry is None else as_format(entry.type)
            if entry is None or code is None or entry.shape != shape:
                came = "missing" if entry is None else f"{entry.type} of shape {entry.shape}"
                raise BadInput(
                    f"The weight {name} in {folder / WEIGHTS} should be plain numbers of shape {shape}, and is {came}.",
                    "Choose a model that isn't quantised, and whose folder is as it was published.",
                )
            self.formats[name] = code
