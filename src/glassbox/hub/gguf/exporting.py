"""From our folder to one GGUF file, tensor after tensor."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from glassbox.errors import BadInput
from glassbox.hub.correspondence import Correspondence, Shape
from glassbox.hub.gguf.architectures import KEPT_IN_FLOAT32, architecture_of, tensors, values
from glassbox.hub.gguf.file import FILE_TYPES, GgufWriter, Value
from glassbox.hub.gguf.vocabulary import vocabulary
from glassbox.hub.importing import Progress
from glassbox.hub.model_files import ModelFiles
from glassbox.hub.number_formats import Format, convert, widest
from glassbox.spec import ModelSpec
from glassbox.spec.rotary import rotary_frequencies
from glassbox.tokenizers import Tokenizer

FREQUENCY_FACTORS = "rope_freqs.weight"


class GgufExport:
    """A model of ours and the architecture of llama.cpp that computes it. Raises BadInput where there is none."""

    def __init__(self, model: ModelFiles, name: str) -> None:
        self.model = model.with_gains()
        self.name = name
        self.architecture = architecture_of(self.model.spec)

    def write(
        self,
        path: Path,
        tokenizer: Tokenizer,
        chat_template: str | None = None,
        number_format: Format | None = None,
        progress: Progress = lambda *_: None,
    ) -> None:
        """number_format: of the matrices; None is the widest that they have. What llama.cpp wants in float32 is so.

        Raises BadInput as `vocabulary` and `number_formats.convert`, and for float64, which llama.cpp doesn't compute
        in; OSError.
        """
        spec = self.model.spec
        chosen = number_format or widest(self.model.formats.values())
        if chosen not in FILE_TYPES:
            raise BadInput("llama.cpp doesn't compute in float64.", "Choose float32, float16 or bfloat16.")
        said: dict[str, Value] = {
            "general.architecture": self.architecture,
            "general.name": self.name,
            "general.file_type": FILE_TYPES[chosen],
            **values(spec, self.architecture),
            **vocabulary(tokenizer, spec.vocabulary_size, chat_template),
        }
        table = list(tensors(spec, self.architecture))
        announced: dict[str, tuple[Format, Shape]] = {}
        for each in table:
            announced |= self._announced(each, chosen)
        factors = frequency_factors(spec)
        if factors is not None:
            announced[FREQUENCY_FACTORS] = ("F32", factors.shape)
        total, done = sum(math.prod(shape) for _, shape in announced.values()), 0
        with GgufWriter(path, said, announced) as file:
            if factors is not None:
                file.write(FREQUENCY_FACTORS, factors)
            for each in table:
                target = announced[each.theirs[0]][0]
                ours = [convert(self.model.read(name), self.model.formats[name], target) for name in each.ours]
                for name, array in zip(each.theirs, each.layout.to_theirs(ours), strict=True):
                    file.write(name, array)
                    done += array.size
                progress(done, total)

    def _announced(self, each: Correspondence, chosen: Format) -> dict[str, tuple[Format, Shape]]:
        shapes = each.layout.their_shapes([self.model.shapes[name] for name in each.ours])
        announced: dict[str, tuple[Format, Shape]] = {}
        for name, shape in zip(each.theirs, shapes, strict=True):
            plain = len(shape) == 1 or any(part in name for part in KEPT_IN_FLOAT32)
            announced[name] = ("F32" if plain else chosen, shape)
        return announced


def frequency_factors(spec: ModelSpec) -> np.ndarray | None:
    """How much slower each pair of channels turns, (rotated_width / 2,), with Llama 3.1's stretching; else None."""
    scaling = spec.rotary_scaling
    if scaling is None or scaling.kind != "llama3":
        return None
    frequencies = rotary_frequencies(spec)
    plain = rotary_frequencies(spec.replace(rotary_scaling=None))
    return np.array([before / after for before, after in zip(plain, frequencies, strict=True)], np.float32)
