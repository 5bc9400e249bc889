"""What fewer bits cost a model: bits per byte, file, memory and time, beside float32.

    python benchmarks/quantization.py --workspace FOLDER [--model NAME] [--rounds 30]

Measures a model that `glassbox quickstart` (or any other way) made, on the validation split of the shards it learned
from. "reading" is a forward pass over a window, every matrix decoded on the way, and "a matrix" one of 2048 x 2048
times 256 rows, decoded first; the kinds take turns, and the fastest of all rounds counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F

from glassbox.data.shards import Shards
from glassbox.engines.tensors import Transformer, load_model
from glassbox.engines.tensors.quantized import METHODS, Quantization
from glassbox.evaluation.held_out import held_out
from glassbox.stages.execution import execute
from glassbox.stages.inputs import resolve_inputs
from glassbox.stages.registry import load_stage
from glassbox.workspace import Workspace


def fastest(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each in its fastest round; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begun)
    return {name: min(each) for name, each in times.items()}


def held_bytes(model: Transformer) -> int:
    """What the model's parameters and codes take in memory."""
    return sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))


def products() -> dict[str, Callable[[], object]]:
    """A matrix times 256 rows, from numbers and from the codes of each method."""
    weight, rows = torch.randn(2048, 2048), torch.randn(256, 2048)
    works: dict[str, Callable[[], object]] = {"float32": lambda: F.linear(rows, weight)}
    for method in METHODS:
        quantization = Quantization(method, 0 if method == "int8" else 64)
        codes, scales = quantization.code(weight)
        decode = quantization.decoder()
        works[method] = lambda d=decode, c=codes, s=scales: F.linear(rows, d(c, s, 2048))
    return works


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    given = {} if options.model is None else {"model": options.model}
    inputs = resolve_inputs(load_stage("evaluate"), workspace, given).artifacts
    split = Shards(inputs["shards"].folder).split("validation")
    stage = load_stage("quantize")
    folders = {"float32": inputs["model"].folder}
    for method in METHODS:
        settings = stage.settings.model_validate({"method": method})
        made = execute(stage, settings, workspace, {"model": inputs["model"]}, name=f"quantized-{method}")
        folders[method] = made.outputs["model"].folder
    models = {name: load_model(folder) for name, folder in folders.items()}
    window = torch.from_numpy(split.tokens[: models["float32"].spec.context].astype("int64"))[None]
    costs = {name: held_out(model, split).bits_per_byte for name, model in models.items()}
    sizes = {name: (folder / "model.safetensors").stat().st_size for name, folder in folders.items()}
    held = {name: held_bytes(model) for name, model in models.items()}
    with torch.inference_mode():
        reading = fastest({name: lambda m=model: m(window) for name, model in models.items()}, options.rounds)
        matrix = fastest(products(), options.rounds)

    print(f"{inputs['model'].reference}: {models['float32'].spec.layers} layers of {models['float32'].spec.width}")
    headings = ("bits per byte", "lost", "of float32", "of 16 bits", "memory", "reading", "a matrix")
    print(f"{'':8}" + "".join(f"{heading:>14}" for heading in headings))
    for name in models:
        columns = (
            f"{costs[name]:.4f}",
            f"{costs[name] / costs['float32'] - 1:.3%}",
            f"{sizes[name] / sizes['float32']:.1%}",
            f"{2 * sizes[name] / sizes['float32']:.1%}",
            f"{held[name] / held['float32']:.1%}",
            f"{reading[name] / reading['float32']:.2f}x",
            f"{matrix[name] / matrix['float32']:.2f}x",
        )
        print(f"{name:8}" + "".join(f"{column:>14}" for column in columns))


if __name__ == "__main__":
    main()
