"""What sharing a batch among processes costs, beside PyTorch's DistributedDataParallel.

    python benchmarks/parallel.py                  # two processes of one thread each
    python benchmarks/parallel.py --processes 4 --rounds 30

The same processes take turns: some steps of each process by itself on its share (what is left if talking were free),
with our averaging, and with DistributedDataParallel around the same model and the same step. Reported are medians over
the rounds, and medians of the rounds' ratios, which a busy machine disturbs less than times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed
from torch.nn.parallel import DistributedDataParallel

from glassbox.data.batches import Batch
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import AdamW
from glassbox.spec import ModelSpec, count_parameters
from glassbox.training.parallel import ALONE, RENDEZVOUS_VARIABLE, Group, joined
from glassbox.training.step import TrainingStep

MODELS = {
    "0.8M, 12 x 64 tokens": (ModelSpec(vocabulary_size=65, context=64, width=128, layers=4, heads=4), 12),
    "10.7M, 8 x 256 tokens": (ModelSpec(vocabulary_size=65, context=256, width=384, layers=6, heads=6), 8),
}
WAYS = ("alone", "ours", "DistributedDataParallel")


def make_step(spec: ModelSpec, rows: int, group: Group, *, wrapped: bool = False) -> TrainingStep:
    model = Transformer(spec)
    step = TrainingStep(model, AdamW(model), micro_batch=rows, clip=1.0, group=group)
    if wrapped:
        step._forward = DistributedDataParallel(model, gradient_as_bucket_view=True)
    return step


def measure(group: Group, spec: ModelSpec, batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step, by way and round."""
    rows = batch_size // group.world_size
    steps = {
        "alone": make_step(spec, rows, ALONE),
        "ours": make_step(spec, rows, group),
        "DistributedDataParallel": make_step(spec, rows, ALONE, wrapped=True),
    }
    dice = np.random.default_rng(group.rank)
    batch = Batch(*(dice.integers(spec.vocabulary_size, size=(rows, spec.context)) for _ in range(2)))
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    per_round = max(2, round(0.3 / timed(lambda: steps["alone"](0, batch, 1e-4))))
    per_round = int(group.shared(per_round))
    for number in range(rounds + 1):
        for way in WAYS:
            distributed.barrier()
            taken = timed(lambda way=way: [steps[way](step, batch, 1e-4) for step in range(per_round)])
            if number:  # the first warms up
                times[way].append(taken / per_round)
    return times


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(name: str, spec: ModelSpec, times: dict[str, list[float]]) -> None:
    print(f"\n{name} ({count_parameters(spec).total:,} parameters)")
    for way in WAYS:
        ratios = [own / alone for own, alone in zip(times[way], times["alone"], strict=True)]
        print(f"  {way:24} {1e3 * statistics.median(times[way]):9.2f} ms   {statistics.median(ratios):5.2f} x alone")
    pairs = zip(times["ours"], times["DistributedDataParallel"], strict=True)
    print(f"  ours / DistributedDataParallel: {statistics.median(ours / theirs for ours, theirs in pairs):.2f}")


def process(rank: int, world_size: int, rounds: int) -> None:
    torch.set_num_threads(1)
    with joined(rank, world_size) as group:
        for name, (spec, batch_size) in MODELS.items():
            times = measure(group, spec, batch_size, rounds)
            if group.leads:
                report(name, spec, times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[RENDEZVOUS_VARIABLE] = f"file://{Path(folder) / 'rendezvous'}"
        children: list[int] = []
        for rank in range(chosen.processes):
            child = os.fork()
            if child == 0:
                process(rank, chosen.processes, chosen.rounds)
                sys.stdout.flush()
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
