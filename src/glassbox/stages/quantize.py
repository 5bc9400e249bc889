"""Make a model smaller: 8 or 4 bits for each weight of its matrices, to be read and not to learn.

int8 makes a file in float32 a quarter as large, nf4 an eighth (with scales: 13 %). What that costs in bits
per byte, `glassbox evaluate` measures.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from glassbox.stages.interface import Context, Slot, Stage, StageSettings, Stopped

DEFAULT_GROUPS = {"int8": 0, "int4": 64, "nf4": 64}


class Settings(StageSettings):
    method: Literal["int8", "int4", "nf4"] = Field(
        default="nf4", description="8 bits, 4 bits in even steps, or 4 bits in steps as weights are spread."
    )
    group_size: int | None = Field(
        default=None,
        ge=0,
        le=1_048_576,
        multiple_of=2,
        description="Neighbours in a row that share a scale; 0 is a whole row. Left out: 0 for int8, 64 for 4 bits.",
    )

    def name_after(self, input_name: str) -> str:
        """A name of its own: as the newest version of the model it would take the place of the one it was made of."""
        return f"{input_name}-{self.method}"


def run(settings: Settings, context: Context) -> dict[str, object]:
    import torch

    from glassbox.engines.tensors.checkpoint import SPEC_FILE, WEIGHTS_FILE
    from glassbox.engines.tensors.quantized import (
        CODES,
        SCALES,
        Quantization,
        coded_shapes,
        is_quantized,
        save_quantization,
    )  # fmt: skip
    from glassbox.hub import ModelFiles
    from glassbox.hub.number_formats import widen
    from glassbox.hub.tensor_file import TensorFileWriter

    source = context.input("model").folder
    model = ModelFiles(source)
    group_size = DEFAULT_GROUPS[settings.method] if settings.group_size is None else settings.group_size
    quantization = Quantization(settings.method, group_size)
    total = sum(map(math.prod, model.shapes.values()))
    done = 0
    try:
        with context.output("model") as draft:
            announced = coded_shapes(model.spec, quantization)
            with TensorFileWriter(draft.folder / WEIGHTS_FILE, announced, {"format": "pt"}) as file:
                for name, code in model.formats.items():
                    if context.stop_requested:
                        raise Stopped
                    weight = torch.from_numpy(widen(model.read(name), code)).float()
                    if is_quantized(name, tuple(weight.shape)):
                        codes, scales = quantization.code(weight)
                        file.write(name + CODES, codes.numpy())
                        file.write(name + SCALES, scales.numpy())
                    else:
                        file.write(name, weight.numpy())
                    done += weight.numel()
                    context.progress(done, total, unit="weights", note="coding")
            model.spec.save(draft.folder / SPEC_FILE)
            save_quantization(quantization, draft.folder)
            _copy_the_rest(source, draft.folder)
            size = (draft.folder / WEIGHTS_FILE).stat().st_size
            facts = {"quantization": settings.method, "parameters": total, "bits_per_weight": 8 * size / total}
            draft.describe(**facts)
    except Stopped:
        return {}
    before = (source / WEIGHTS_FILE).stat().st_size
    return {**facts, "bytes": size, "bytes_before": before, "share": size / before}


def _copy_the_rest(source: Path, into: Path) -> None:
    """The tokenizer, and what else the model's folder says about it."""
    for path in source.iterdir():
        if path.is_dir():
            shutil.copytree(path, into / path.name)
        elif path.suffix == ".json" and path.name not in ("manifest.json", "spec.json"):
            shutil.copyfile(path, into / path.name)


STAGE = Stage(
    settings=Settings,
    run=run,
    takes={"model": Slot("model", "the model to make smaller")},
    makes={"model": Slot("model", "the same model in fewer bits")},
)
