"""Measures the memory that training takes, and lays it beside `glassbox.spec.count_memory`.

    python benchmarks/memory.py [--steps 8]

Every line is a process of its own: the quickstart's models and nanoGPT's two Shakespeare models, in fp32 and bf16, with
and without gradient checkpointing. `held` is the most that PyTorch's tensors take at once by the count, `process` the
count with the gaps that the C library leaves (`GAPS` and `BUFFERS` in `glassbox/spec/memory.py` come from here), and
`measured` how much the process grew at most. `baseline` is what it took before: Python and PyTorch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

RECIPE = {"positions": "rotary", "norm": "rms", "norm_gain": False, "qk_norm": True, "activation": "relu_squared"}
NANOGPT = {"positions": "learned", "norm": "layer", "norm_bias": True, "activation": "gelu"}
RUNS: dict[str, dict[str, Any]] = {
    "quickstart, 192 wide": {
        "spec": {"vocabulary_size": 4096, "context": 256, "width": 192, "layers": 4, "heads": 3, **RECIPE},
        "batch": 16,
        "optimizer": "muon",
    },
    "quickstart, 128 wide": {
        "spec": {"vocabulary_size": 4096, "context": 256, "width": 128, "layers": 4, "heads": 2, **RECIPE},
        "batch": 8,
        "optimizer": "muon",
    },
    "nanoGPT for a CPU": {
        "spec": {"vocabulary_size": 65, "context": 64, "width": 128, "layers": 4, "heads": 4, **NANOGPT},
        "batch": 12,
        "optimizer": "adamw",
    },
    "nanoGPT for a GPU": {
        "spec": {"vocabulary_size": 65, "context": 256, "width": 384, "layers": 6, "heads": 6, **NANOGPT},
        "batch": 16,
        "optimizer": "adamw",
    },
}
FORMATS = {"fp32": "float32", "bf16": "bfloat16"}


def measure(asked: dict[str, Any]) -> dict[str, float]:
    """Train for some steps in this process."""
    import numpy as np
    import torch

    from glassbox.data.batches import Batch
    from glassbox.engines.tensors import Transformer
    from glassbox.engines.tensors.optimizer import OPTIMIZERS
    from glassbox.spec import ModelSpec, count_memory
    from glassbox.training.memory import PeakMemory, rehearse
    from glassbox.training.step import TrainingStep

    device, spec, rows = torch.device("cpu"), ModelSpec.checked(asked["spec"]), asked["batch"]
    rehearse(device)
    memory = PeakMemory(device)
    model = Transformer(spec, checkpointing=asked["checkpointing"])
    optimizer = OPTIMIZERS[asked["optimizer"]](model)  # pyright: ignore[reportCallIssue]  (each has its own defaults)
    step = TrainingStep(model, optimizer, micro_batch=rows, clip=1.0, precision=asked["precision"])
    for number in range(asked["steps"]):
        tokens = np.random.default_rng(number).integers(spec.vocabulary_size, size=(rows, spec.context + 1))
        step(number, Batch(tokens[:, :-1], tokens[:, 1:]), 1e-3)
    counted = count_memory(
        spec,
        batch=rows,
        optimizer=asked["optimizer"],
        activations_in=FORMATS[asked["precision"]],  # pyright: ignore[reportArgumentType]  (a str, to the checker)
        gradient_checkpointing=asked["checkpointing"],
    )
    return {
        "held": counted.training,
        "process": counted.process,
        "measured": memory.bytes(),
        "baseline": memory.before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(json.loads(arguments.one))))
        return
    print(f"{'MB':34} {'held':>8} {'process':>8} {'measured':>8} {'ratio':>6} {'baseline':>8}")
    for name, run in RUNS.items():
        for precision in FORMATS:
            for checkpointing in (False, True):
                asked = {**run, "precision": precision, "checkpointing": checkpointing, "steps": arguments.steps}
                command = [sys.executable, __file__, "--one", json.dumps(asked)]
                found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
                what = f"{name} {precision}{' checkpoints' if checkpointing else ''}"
                numbers = [f"{found[part] / 1e6:8.1f}" for part in ("held", "process", "measured")]
                ratio = found["process"] / found["measured"]
                print(f"{what:34}", *numbers, f"{ratio:6.2f} {found['baseline'] / 1e6:8.1f}", flush=True)


if __name__ == "__main__":
    main()
