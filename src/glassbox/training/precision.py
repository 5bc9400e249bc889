"""The number format that training multiplies matrices in.

fp32   the weights' own format.
bf16   half the bytes with the range of fp32: on hardware with instructions for it several times as fast, once matrices
       are large enough that the products outweigh the casts. Weights and optimiser stay in fp32, and so do softmax,
       norms' sums and the loss (Micikevicius et al. 2018; Kalamkar et al. 2019).
fp16   for GPUs from before bf16: its range is so small that the loss has to be scaled (`torch.amp.GradScaler`).

Which of the first two is faster depends on the model as much as on the machine, so it is measured, with the model.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from glassbox.errors import BadInput

FORMATS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CANDIDATES = ("fp32", "bf16")
ROUNDS = 3


def check_precision(name: str, device: torch.device) -> torch.dtype:
    """The format of this name. Raises BadInput for an unknown one, and for one that this device can't train in."""
    if name not in FORMATS:
        raise BadInput(f"There is no precision called {name!r}.", f"Choose one of {', '.join(FORMATS)}.")
    if name == "fp16" and device.type == "cpu":
        raise BadInput(
            "A CPU multiplies matrices in fp16 many times slower than in fp32.",
            "Choose bf16, fp32, or auto to measure which is faster here.",
        )
    return FORMATS[name]


def fastest_precision(seconds: Callable[[str], float], rounds: int = ROUNDS) -> str:
    """The format in which steps take the least time: fp32 unless bf16 is faster.

    seconds: trains some steps of the real model in the format named, and returns how long they took. The formats take
    turns, each is judged by its best round, and a first round isn't counted: a busy machine slows single rounds down.
    """
    best = dict.fromkeys(CANDIDATES, float("inf"))
    for number in range(rounds + 1):
        for name in CANDIDATES:
            taken = seconds(name)
            if number:
                best[name] = min(best[name], taken)
    return min(CANDIDATES, key=lambda name: best[name])
