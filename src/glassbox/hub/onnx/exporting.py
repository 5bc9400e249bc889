"""From our folder to one with model.onnx: a graph, and the weights in a file beside it, written one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.importing import Progress
from glassbox.hub.model_files import ModelFiles
from glassbox.hub.number_formats import convert
from glassbox.hub.onnx.graph import Graph
from glassbox.hub.onnx.transformer import LOGITS, TransformerGraph
from glassbox.hub.tokenizer_files import write_tokenizer
from glassbox.spec import weight_shapes
from glassbox.tokenizers import Tokenizer

MODEL, WEIGHTS = "model.onnx", "model.onnx_data"


class OnnxExport:
    """A model of ours as a graph in float32, from `tokens` (batch, length), int64, to `logits`.

    A model with types of tokens takes `types` besides; one without a head gives its vectors as `logits`.

    A text longer than the context is refused by whoever runs the graph where positions are tables; nothing tells with
    ALiBi and without positions. Raises BadInput for a model that the graph can't say.
    """

    def __init__(self, model: ModelFiles) -> None:
        self.model = model
        spec = model.spec
        self.graph = Graph(weight_shapes(spec), WEIGHTS)
        self._built = TransformerGraph(spec, self.graph)
        self._built.build()
        if unread := weight_shapes(spec).keys() - set(self.graph.placed):
            raise BadInput(f"The export to ONNX has no use for {min(unread)}.", "Export to Hugging Face's format.")

    def write(
        self,
        into: Path,
        tokenizer: Tokenizer | None,
        chat_template: str | None = None,
        progress: Progress = lambda *_: None,
    ) -> None:
        """Write the graph, the weights, spec.json and the tokenizer into a folder that exists. Raises OSError."""
        spec = self.model.spec
        (into / MODEL).write_bytes(self._proto().SerializeToString())
        total = sum(math.prod(shape) for shape in weight_shapes(spec).values())
        done = 0
        with (into / WEIGHTS).open("wb") as file:
            for name in self.graph.placed:
                numbers = convert(self.model.read(name), self.model.formats[name], "F32")
                file.write(numbers.data)
                done += numbers.size
                progress(done, total)
        spec.save(into / "spec.json")
        if tokenizer is not None:
            write_tokenizer(tokenizer, chat_template, into, {}, spec.context)

    def _proto(self) -> Any:
        spec = self.model.spec
        made = self.graph.model(dict.fromkeys(self._built.inputs, ("batch", "length")), {LOGITS: self._built.output})
        made.metadata_props.add(key="glassbox.spec", value=json.dumps(spec.model_dump(mode="json")))
        return made
