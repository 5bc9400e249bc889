"""A training step of microgpt's size in the scalars and lists engines, beside the plain scalar program.

    python benchmarks/scalars_and_lists.py [--rounds 12]

Each round trains every one of them on the same name: 4,192 parameters, forward, backward and Adam. They take turns and
begin with the same weights, so that the losses must be the same too: the largest difference is printed. Ratios are
medians over the rounds and travel between machines; times don't. The plain program is microgpt.py, and what was
imported is hidden from the garbage collector, which would otherwise walk it at the plain program's cost.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import math
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glassbox.engines import lists, scalars
from glassbox.engines.lists import optimizer as lists_optimizer
from glassbox.engines.scalars import optimizer as scalars_optimizer
from glassbox.spec.presets import preset

PROGRAM = Path(__file__).resolve().parents[1] / "microgpt.py"
NAMES = ("emma", "olivia", "charlotte", "amelia", "sophia", "isabella", "ava", "evelyn")
END = 26  # the token before and after a name; a to z are 0 to 25
RATE, BETAS = 0.01, (0.85, 0.99)
WEIGHTS = {
    "wte": "embedding.tokens",
    "wpe": "embedding.positions",
    "lm_head": "output.weight",
    "layer0.attn_wq": "blocks.0.attention.query",
    "layer0.attn_wk": "blocks.0.attention.key",
    "layer0.attn_wv": "blocks.0.attention.value",
    "layer0.attn_wo": "blocks.0.attention.output",
    "layer0.mlp_fc1": "blocks.0.feedforward.up",
    "layer0.mlp_fc2": "blocks.0.feedforward.down",
}

Step = Callable[[list[int], float], float]  # tokens and how far training is, 0 to 1 -> loss


def plain_program() -> Any:
    """microgpt.py as a module."""
    location = importlib.util.spec_from_file_location("microgpt", PROGRAM)
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def plain_step(program: Any, matrices: Any) -> Step:
    weights = [weight for matrix in matrices.values() for row in matrix for weight in row]
    optimizer = program.Adam(weights, RATE, *BETAS)
    updates = 0

    def step(tokens: list[int], done: float) -> float:
        nonlocal updates
        loss = program.name_loss(tokens, matrices, 1, 4, 16)
        for weight in weights:
            weight.grad = 0.0
        loss.backward()
        # The program's rate falls from its first to its last step; its moments are corrected by the number of the step.
        optimizer.learning_rate = RATE * (1 - done)
        optimizer.step(updates, math.inf)
        updates += 1
        return loss.data

    return step


def engine_step(model: Any, optimizer: Any) -> Step:
    def step(tokens: list[int], done: float) -> float:
        optimizer.learning_rate = RATE * (1 - done)
        return model.train_step([tokens[:-1]], [tokens[1:]], optimizer)

    return step


def steps() -> dict[str, Step]:
    """The plain program first, then each engine with the same weights."""
    program = plain_program()
    random.seed(42)
    matrices = program.build_parameters(27, 1, 16, 16)
    weights = {WEIGHTS[name]: [[value.data for value in row] for row in rows] for name, rows in matrices.items()}
    found = {"plain program": plain_step(program, matrices)}
    spec = preset("microgpt")
    scalar_model = scalars.Transformer(spec, weights=weights)
    found["scalars"] = engine_step(scalar_model, scalars_optimizer.Adam(scalar_model, RATE, betas=BETAS))
    list_model = lists.Transformer(spec, weights=weights)
    found["lists"] = engine_step(list_model, lists_optimizer.Adam(list_model, RATE, betas=BETAS))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description="Measure a training step of microgpt's size in two engines.")
    arguments.add_argument("--rounds", type=int, default=12, help="default: 12")
    rounds = arguments.parse_args().rounds
    racers = steps()
    gc.collect()
    gc.freeze()
    times: dict[str, list[float]] = {name: [] for name in racers}
    losses: dict[str, list[float]] = {name: [] for name in racers}
    for number in range(rounds):
        tokens = [END, *(ord(character) - ord("a") for character in NAMES[number % len(NAMES)]), END]
        for name, step in racers.items():
            began = time.perf_counter()
            losses[name].append(step(tokens, number / rounds))
            times[name].append(time.perf_counter() - began)
    plain = "plain program"
    print(f"{'':14}{'ms a step':>10}{'× plain':>10}{'× scalars':>11}{'largest difference of a loss':>32}")
    for name in racers:
        milliseconds = 1_000 * statistics.median(times[name])
        faster = [statistics.median(map(lambda a, b: a / b, times[than], times[name])) for than in (plain, "scalars")]
        apart = max(abs(a - b) for a, b in zip(losses[name], losses[plain], strict=True))
        print(f"{name:14}{milliseconds:10.2f}{faster[0]:10.1f}{faster[1]:11.2f}{apart:32.1e}")


if __name__ == "__main__":
    main()
