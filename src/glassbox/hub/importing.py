"""From Hugging Face's folder to ours: everything is checked before anything is written, then tensor after tensor moves.

At no time is more in memory than one tensor of theirs and what becomes of it, so a model needs far less memory to be
imported than to be used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.hub.config import Config
from glassbox.hub.correspondence import Array, Correspondence, Shape
from glassbox.hub.family import Family
from glassbox.hub.folder import CONFIG, GENERATION_CONFIG, TOKENIZER_CONFIG, Folder
from glassbox.hub.known_families import family_of
from glassbox.hub.model_files import SPEC, THEIR_FILES, WEIGHTS
from glassbox.hub.number_formats import FORMATS, Format, as_format, convert
from glassbox.hub.tensor_file import Entry, TensorFileWriter
from glassbox.spec import weight_shapes
from glassbox.workspace.names import shown

Progress = Callable[[int, int], None]
"""Called with the numbers (weights) done and those in all."""


class Import:
    """A folder that has been checked whole: its config says a spec, and its tensors are that spec's.

    Raises BadInput naming what is damaged, missing, superfluous, of another shape, or beyond what the spec can say.
    """

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self.family: Family = family_of(self.folder.config.get("model_type"))
        self.spec = self.family.read(Config(self.folder.config, f"{path / CONFIG}"))
        self._shapes = weight_shapes(self.spec)
        self._file_names = {self._modern(name): name for name in self.folder.tensors}
        held = {name: self.folder.tensors[file_name] for name, file_name in self._file_names.items()}
        # Files of the bare model, without the head that predicts tokens, lack the prefix.
        bare = not any(name.startswith(self.family.prefix) for name in held)
        self._table = [_without(each, self.family.prefix) if bare else each for each in self.family.tensors(self.spec)]
        self.formats: dict[str, Format] = {}
        for each in self._table:
            self.formats |= dict.fromkeys(each.ours, self._check(each, held))
        self._check_nothing_else(held)

    @property
    def number_formats(self) -> list[Format]:
        """Those that the weights come in, widest first."""
        return [code for code in FORMATS if code in self.formats.values()]

    def write(self, into: Path, number_format: Format | None = None, progress: Progress = lambda *_: None) -> None:
        """Write spec.json, model.safetensors and what was said about the model in their words.

        number_format: of the weights; None keeps each as it came.

        Raises BadInput for a weight too large for the format, and OSError.
        """
        self.spec.save(into / SPEC)
        announced = {name: (number_format or self.formats[name], shape) for name, shape in self._shapes.items()}
        total = sum(math.prod(shape) for shape in self._shapes.values())
        done = 0
        with TensorFileWriter(into / WEIGHTS, announced, {"format": "pt"}) as file:
            for each in self._table:
                arrays = [self._read(name) for name in each.theirs]
                ours = each.layout.to_ours(arrays, [self._shapes[name] for name in each.ours])
                del arrays
                for name, array in zip(each.ours, ours, strict=True):
                    file.write(name, convert(array, self.formats[name], number_format or self.formats[name]))
                    done += array.size
                progress(done, total)
        (into / THEIR_FILES).mkdir()
        for name in (CONFIG, TOKENIZER_CONFIG, GENERATION_CONFIG):
            if source := self.folder.file(name):
                (into / THEIR_FILES / name).write_bytes(source.read_bytes())

    def _modern(self, name: str) -> str:
        """What a tensor is called today."""
        for old, new in self.family.renamed.items():
            if name.endswith(old):
                return name.removesuffix(old) + new
        return name

    def _read(self, name: str) -> Array:
        return self.folder.read(self._file_names[name])

    def _check(self, each: Correspondence, held: Mapping[str, Entry]) -> Format:
        """The format of the tensors of one correspondence, which are there and have their shapes."""
        expected = each.layout.their_shapes([self._shapes[name] for name in each.ours])
        found: set[Format] = set()
        for name, shape in zip(each.theirs, expected, strict=True):
            found.add(self._check_tensor(name, shape, held))
        if len(found) > 1:
            raise BadInput(f"{', '.join(each.theirs)} come in different number formats.", "Save them all in one.")
        return found.pop()

    def _check_tensor(self, name: str, shape: Shape, held: Mapping[str, Entry]) -> Format:
        if name not in held:
            raise BadInput(
                f"{self.folder.path} lacks the weight {name}, which its config.json calls for.",
                "Copy the folder again, or choose a model that predicts tokens.",
            )
        entry = held[name]
        if entry.shape != shape:
            raise BadInput(
                f"{name} has the shape {entry.shape}, and by config.json it should have {shape}.",
                "Copy config.json and the weights from the same model.",
            )
        if code := as_format(entry.type):
            return code
        raise BadInput(
            f"{name} holds numbers of the format {entry.type}, which are no plain weights.",
            f"Choose a version of the model in one of {', '.join(FORMATS)}, not a quantised one.",
        )

    def _check_nothing_else(self, held: Mapping[str, Entry]) -> None:
        named = {name for each in self._table for name in each.theirs}
        for name in sorted(held.keys() - named):
            if name.endswith(self.family.ignored) or self._is_a_copy(name, held):
                continue
            raise BadInput(
                f"{self.folder.path} holds the tensor {shown(name)}, for which a {self.family.model_type} of this "
                "config.json has no use.",
                "Choose a plain model that predicts tokens, without adapters and other heads.",
            )

    def _is_a_copy(self, name: str, held: Mapping[str, Entry]) -> bool:
        """Whether a tensor is the token embedding once more, to the last bit."""
        if name not in self.family.copies:
            return False
        [embedding] = (each.theirs[0] for each in self._table if each.ours == ("embedding.tokens",))
        copy, original = held[name], held[embedding]
        if (copy.type, copy.shape) != (original.type, original.shape):
            return False
        return self._read(name).tobytes() == self._read(embedding).tobytes()


def _without(each: Correspondence, prefix: str) -> Correspondence:
    return Correspondence(tuple(name.removeprefix(prefix) for name in each.theirs), each.ours, each.layout)
