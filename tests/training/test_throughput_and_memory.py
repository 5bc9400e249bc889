"""What is measured of the device."""

import subprocess
import sys
import time

import torch

from glassbox.training.memory import PeakMemory, memory_in_use
from glassbox.training.throughput import matmul_peak

CPU = torch.device("cpu")


def test_the_peak_is_at_least_what_one_product_reaches() -> None:
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    left @ right
    start = time.perf_counter()
    left @ right
    assert matmul_peak(CPU, torch.float32) > 0.3 * 2 * 1024**3 / (time.perf_counter() - start)


def test_the_peak_holds_what_was_taken_and_given_back() -> None:
    measured = PeakMemory(CPU)
    before = measured.bytes()
    block = torch.ones(50_000_000)  # 200 MB, touched
    held = memory_in_use(CPU)
    del block
    assert measured.bytes() - before > 150_000_000
    assert memory_in_use(CPU) < held
    assert PeakMemory(CPU).bytes() < 150_000_000


def test_after_a_rehearsal_a_first_step_takes_about_what_its_tensors_do() -> None:
    """In a process of its own: libraries are loaded once only."""
    script = """
import sys
import torch
torch.set_num_threads(1)
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import Muon
from glassbox.spec import ModelSpec, count_memory
from glassbox.training.memory import PeakMemory, rehearse
if sys.argv[1] == "rehearsed":
    rehearse(torch.device("cpu"))
memory = PeakMemory(torch.device("cpu"))
spec = ModelSpec(vocabulary_size=64, context=64, width=128, layers=2, heads=2)
model = Transformer(spec)
tokens = model.batch([[0] * 64] * 8)
model.train_step(tokens, tokens, Muon(model))
print(memory.bytes() - count_memory(spec, batch=8, optimizer="muon").training)
"""
    unexplained = [
        float(subprocess.run([sys.executable, "-c", script, how], capture_output=True, check=True).stdout)
        for how in ("rehearsed", "cold")
    ]
    assert unexplained[0] < 0.7 * unexplained[1]


def test_a_forgotten_peak_is_not_told() -> None:
    memory = PeakMemory(CPU)
    block = torch.ones(50_000_000)
    del block
    memory.forget_peak()
    assert memory.bytes() < 150_000_000
