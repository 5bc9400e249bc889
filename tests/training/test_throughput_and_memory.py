"""What is measured of the device."""

import time

import pytest
import torch

from glassbox.training import memory as memory_module
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


def test_without_linux_the_peak_of_the_process_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_linux = memory_module._process_peak()
    monkeypatch.setattr("sys.platform", "freebsd")
    assert memory_module._process_peak() >= 0.5 * on_linux
