"""How fast this device multiplies matrices, and what share of that training reaches.

Model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B) divides the operations that the model's formula needs
by those that the device could have done. Data sheets promise what no program reaches, and for CPUs there are none, so
the divisor is measured: the best of several products of square matrices in the format that training multiplies in.
"""

from __future__ import annotations

import time

import torch

SIZE = {"cpu": 1024, "cuda": 8192}  # large enough that more gains nothing, small enough to take a fraction of a second
MEASURING = 0.3  # seconds


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the best product of two square matrices within 0.3 s, after one to warm up."""
    size = SIZE.get(device.type, 2048)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    result = left @ right
    best, end = 0.0, time.perf_counter() + MEASURING
    while best == 0.0 or time.perf_counter() < end:
        wait_for(device)
        start = time.perf_counter()
        torch.matmul(left, right, out=result)
        wait_for(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def wait_for(device: torch.device) -> None:
    """Until what was asked of the device is done; only then a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
