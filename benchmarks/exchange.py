"""How much memory and time an import takes, beside `transformers` loading and saving the same folder.

    python benchmarks/exchange.py [--preset gpt2-small] [--rounds 3]

A model of that preset with random weights in float32 is written once in Hugging Face's format. Then each side reads it
and writes it again, in a process of its own, the two taking turns. "peak" is the most memory that the process ever had
(resident, libraries and mapped files included); the promise is under 1.3 times the size of the weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from glassbox.hub.config import Config
from glassbox.hub.known_families import family_that_carries
from glassbox.hub.tensor_file import TensorFileWriter
from glassbox.spec import preset, weight_shapes

MEASURE = """
import json, resource, sys, time
from pathlib import Path
source, target = Path(sys.argv[1]), Path(sys.argv[2])
begun = time.perf_counter()
{work}
seconds = time.perf_counter() - begun
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, seconds]))
"""
GLASSBOX = """
from glassbox.stages.execution import execute
from glassbox.stages.registry import load_stage
from glassbox.workspace import Workspace
stage = load_stage("import-model")
execute(stage, stage.settings(path=source), Workspace(target), {})
"""
TRANSFORMERS = """
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained(source).save_pretrained(target)
"""


def write_random(name: str, folder: Path) -> int:
    """A folder as Hugging Face has it, with random weights. Returns the bytes of the weights."""
    spec = preset(name)
    family = family_that_carries(spec)
    assert family.read(Config(family.write(spec))) == spec
    (folder / "config.json").write_text(json.dumps(family.config(spec)))
    shapes, generator = weight_shapes(spec), np.random.default_rng(0)
    announced = {}
    for each in family.tensors(spec):
        their_shapes = each.layout.their_shapes([shapes[ours] for ours in each.ours])
        announced |= {theirs: ("F32", shape) for theirs, shape in zip(each.theirs, their_shapes, strict=True)}
    with TensorFileWriter(folder / "model.safetensors", announced, {"format": "pt"}) as file:
        for theirs, (_, shape) in announced.items():
            file.write(theirs, generator.standard_normal(shape, np.float32) * np.float32(0.02))
    return sum(4 * int(np.prod(shape)) for shape in shapes.values())


def measured(work: str, source: Path) -> tuple[float, float]:
    """Peak bytes and seconds of one process that does the work."""
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-c", MEASURE.format(work=work), str(source), target]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, seconds = json.loads(done.stdout.splitlines()[-1])
    return peak, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="gpt2-small")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = write_random(options.preset, Path(folder))
        sides = {"glassbox": GLASSBOX, "transformers": TRANSFORMERS}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, work in sides.items():
                found[name].append(measured(work, Path(folder)))
    print(f"{options.preset}: weights {size / 1e6:,.0f} MB in float32, {options.rounds} rounds")
    print(f"{'':14}{'peak':>10}{'of weights':>12}{'seconds':>10}")
    for name, rounds in found.items():
        peak, seconds = max(peak for peak, _ in rounds), statistics.median(seconds for _, seconds in rounds)
        print(f"{name:14}{peak / 1e6:7,.0f} MB{peak / size:12.2f}{seconds:10.1f}")


if __name__ == "__main__":
    main()
