"""From our folder to Hugging Face's, tensor after tensor: `transformers` loads it and gives the same logits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.config import Config
from glassbox.hub.correspondence import Correspondence, Shape
from glassbox.hub.family import Family
from glassbox.hub.folder import CONFIG, GENERATION_CONFIG, INDEX, TOKENIZER_CONFIG, WEIGHTS
from glassbox.hub.importing import Progress
from glassbox.hub.known_families import family_that_carries
from glassbox.hub.model_files import THEIR_FILES, ModelFiles
from glassbox.hub.number_formats import FORMATS, Format, convert, name_of, widest
from glassbox.hub.strict_json import read_object
from glassbox.hub.tensor_file import TensorFileWriter
from glassbox.hub.tokenizer_files import write_tokenizer
from glassbox.tokenizers import Tokenizer

SHARD_BYTES = 5_000_000_000  # as transformers cuts them


class Export:
    """A model of ours and the family that carries it. Raises BadInput where none does, naming what they lack."""

    def __init__(self, model: ModelFiles) -> None:
        self.model = model.with_gains()
        self.theirs = _their_files(model.folder / THEIR_FILES)
        preferred = self.theirs.get(CONFIG, {}).get("model_type")
        self.family: Family = family_that_carries(self.model.spec, preferred)

    def write(
        self,
        into: Path,
        tokenizer: Tokenizer | None,
        chat_template: str | None = None,
        number_format: Format | None = None,
        *,
        shard_bytes: int = SHARD_BYTES,
        progress: Progress = lambda *_: None,
    ) -> None:
        """Write config.json, the weights and the tokenizer into a folder that exists.

        number_format: of the weights; None keeps each as it is. shard_bytes: that a file of weights has at most, unless
        one tensor alone has more.

        Raises BadInput as `write_tokenizer` and `number_formats.convert`, and OSError.
        """
        formats: dict[str, Format] = {name: number_format or code for name, code in self.model.formats.items()}
        self._write_config(into, tokenizer, formats)
        if tokenizer is not None:
            write_tokenizer(tokenizer, chat_template, into, self.theirs, self.model.spec.context)
        shards = list(self._shards(formats, shard_bytes))
        total = sum(map(math.prod, self.model.shapes.values()))
        done = 0
        weight_map: dict[str, str] = {}
        for number, shard in enumerate(shards, 1):
            file = WEIGHTS if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            announced = {name: item for each in shard for name, item in self._announced(each, formats).items()}
            weight_map |= dict.fromkeys(announced, file)
            with TensorFileWriter(into / file, announced, {"format": "pt"}) as writer:
                for each in shard:
                    done += self._move(each, formats, writer)
                    progress(done, total)
        if len(shards) > 1:
            size = sum(math.prod(shape) * FORMATS[formats[name]].itemsize
                       for name, shape in self.model.shapes.items())  # fmt: skip
            index = {"metadata": {"total_size": size}, "weight_map": weight_map}
            (into / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    def _write_config(self, into: Path, tokenizer: Tokenizer | None, formats: dict[str, Format]) -> None:
        theirs = self.theirs.get(CONFIG, {})
        if theirs.get("model_type") == self.family.model_type and self._still_true(theirs):
            config = {name: value for name, value in theirs.items() if name != "torch_dtype"}
        else:
            end = None if tokenizer is None else tokenizer.end_of_text
            config = {**self.family.config(self.model.spec), "bos_token_id": end, "eos_token_id": end}
        config["dtype"] = name_of(widest(formats.values()))
        (into / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def _still_true(self, config: dict[str, Any]) -> bool:
        """Whether the config that the model came with still describes it; then its very words are kept."""
        try:
            return self.family.read(Config(config)) == self.model.spec
        except BadInput:
            return False

    def _shards(self, formats: dict[str, Format], most: int) -> Iterator[list[Correspondence]]:
        """The tensors in the order of the family's table, cut before a file would have more than `most` bytes."""
        shard: list[Correspondence] = []
        size = 0
        for each in self.family.tensors(self.model.spec):
            announced = self._announced(each, formats).values()
            more = sum(math.prod(shape) * FORMATS[code].itemsize for code, shape in announced)
            if shard and size + more > most:
                yield shard
                shard, size = [], 0
            shard.append(each)
            size += more
        yield shard

    def _announced(self, each: Correspondence, formats: dict[str, Format]) -> dict[str, tuple[Format, Shape]]:
        shapes = each.layout.their_shapes([self.model.shapes[name] for name in each.ours])
        return {name: (self._one(each.ours, formats), shape) for name, shape in zip(each.theirs, shapes, strict=True)}

    def _one(self, ours: Sequence[str], formats: dict[str, Format]) -> Format:
        """The widest format of some weights that go into one tensor."""
        return widest([formats[name] for name in ours])

    def _move(self, each: Correspondence, formats: dict[str, Format], writer: TensorFileWriter) -> int:
        """Write what some weights of ours are there. Returns how many numbers that was."""
        target = self._one(each.ours, formats)
        ours = [convert(self.model.read(name), self.model.formats[name], target) for name in each.ours]
        for name, array in zip(each.theirs, each.layout.to_theirs(ours), strict=True):
            writer.write(name, array)
        return sum(array.size for array in ours)


def _their_files(folder: Path) -> dict[str, dict[str, Any]]:
    paths = [folder / name for name in (CONFIG, TOKENIZER_CONFIG, GENERATION_CONFIG)]
    return {path.name: read_object(path) for path in paths if path.is_file()}
