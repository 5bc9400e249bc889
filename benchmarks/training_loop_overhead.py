"""What the training loop adds to the steps that it makes.

    python benchmarks/training_loop_overhead.py [--rounds 5]

At nanoGPT's CPU setting (4 layers, 4 heads, width 128, context 64, batch 12: 768 tokens a step) a step is measured:
forward, backward, clipping and update by hand, on a batch that is ready. Then the loop runs around a step that does
nothing, with its batches, windows and metrics, so that what it costs by itself isn't lost in the noise of a busy
machine; and the training step runs around a model that does nothing. Prints one JSON object; times are the processor's,
on one thread, the smallest of all rounds; with more threads a step is shorter and the share larger in proportion.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glassbox.data.batches import Batch, Batches
from glassbox.data.shards import Shards
from glassbox.engines.interface import Details
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import AdamW
from glassbox.spec import ModelSpec
from glassbox.training.checkpoints import Checkpoints
from glassbox.training.loop import Loop, Plan
from glassbox.training.step import StepResult, TrainingStep
from glassbox.training.validation import Validation

SPEC = ModelSpec(vocabulary_size=65, context=64, width=128, layers=4, heads=4)
BATCH_SIZE = 12


class Silence:
    stop_requested = False

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None: ...
    def metrics(self, step: int, values: Mapping[str, float]) -> None: ...
    def log(self, message: str) -> None: ...


class IdleStep(TrainingStep):
    """Looks like a step, and does nothing."""

    def __call__(self, step: int, batch: Batch, learning_rate: float) -> StepResult:
        return StepResult(self.nothing, self.nothing)

    nothing = torch.ones(())


class IdleModel(torch.nn.Module):
    """One weight, and a loss that is that weight."""

    dropout = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[None, Details]:
        return None, Details(self.weight * 1.0)


def write_shards(folder: Path) -> Shards:
    rng = np.random.default_rng(0)
    splits: dict[str, object] = {}
    for name, count in (("train", 1_000_000), ("validation", 65)):
        rng.integers(0, 65, count).astype("<u2").tofile(folder / f"{name}-00000.bin")
        np.save(folder / f"{name}-documents.npy", np.zeros(1, np.int64))
        splits[name] = {"tokens": count, "documents": 1, "bytes": count, "files": [f"{name}-00000.bin"]}
    rest = {"vocabulary_size": 65, "dtype": "uint16", "tokenizer": "none:1", "end_of_text": None}
    (folder / "shards.json").write_text(json.dumps({**rest, "splits": splits}))
    return Shards(folder)


def by_hand(model: Any, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    optimizer.zero_grad(set_to_none=True)
    _, details = model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets))
    details.loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def milliseconds(call: Callable[[], object], times: int) -> float:
    call()
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times * 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder))
        batches = Batches(shards.split("train"), BATCH_SIZE, SPEC.context, seed=0)
        batch = batches.batch(0)
        model, idle_model = Transformer(SPEC), IdleModel()
        optimizer, idle_optimizer = AdamW(model), torch.optim.SGD(idle_model.parameters())
        for group in idle_optimizer.param_groups:
            group["lr_factor"] = 1.0
        options: dict[str, Any] = {"micro_batch": BATCH_SIZE, "clip": 1.0}
        idle_step = IdleStep(model, optimizer, **options)
        validation = Validation(shards.split("validation"), SPEC.context, 1, 64, idle_step.device)
        store, plan = Checkpoints(Path(folder) / "checkpoints"), Plan(500, log_every=10)
        loop = Loop(idle_step, batches, lambda step: 1e-3, validation, store, Silence(), plan)
        step = TrainingStep(idle_model, idle_optimizer, **options)  # pyright: ignore[reportArgumentType]  (that do nothing)
        parts: dict[str, tuple[Callable[[], object], int, int]] = {  # what, times, steps each
            "step_by_hand": (lambda: by_hand(model, optimizer, batch), 20, 1),
            "loop_around_nothing": (loop.run, 1, plan.steps),
            "step_around_nothing": (lambda: step(0, batch, 1e-3), 500, 1),
            "by_hand_around_nothing": (lambda: by_hand(idle_model, idle_optimizer, batch), 500, 1),
        }
        best = dict.fromkeys(parts, float("inf"))
        for _ in range(rounds):
            for name, (call, times, each) in parts.items():
                best[name] = min(best[name], milliseconds(call, times) / each)
    added = best["loop_around_nothing"] + best["step_around_nothing"] - best["by_hand_around_nothing"]
    share = added / best["step_by_hand"]
    print(json.dumps({"milliseconds": best, "added": added, "share_of_a_step": share}, indent=2))


if __name__ == "__main__":
    main()
