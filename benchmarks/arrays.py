"""Training steps of the arrays engine beside a plain PyTorch loop, and beside the plain scalar program.

    python benchmarks/arrays.py [--rounds 40] [--threads 2]
    python benchmarks/arrays.py --threads 1 --seconds processor          on a machine that others use at the same time

First nanoGPT's setting for a CPU (4 layers of width 128, 12 windows of 64 tokens, float32, AdamW) against the usual
eager PyTorch model and against the tensors engine, with exact GELU and with the tanh one. Then a step of microgpt's
size (4,192 parameters, one name, float64, Adam) against microgpt.py. All begin with the same weights and take turns, so
that the losses must be the same too: the largest difference is printed. Ratios are medians over the rounds and travel
between machines; times don't. What was imported is hidden from the garbage collector, which would otherwise walk it at
the plain program's cost.
"""

from __future__ import annotations

import argparse
import gc
import math
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox import microgpt
from glassbox.engines import arrays, tensors
from glassbox.engines.arrays.optimizer import Adam, AdamW
from glassbox.engines.tensors.optimizer import AdamW as TensorsAdamW
from glassbox.spec import ModelSpec, preset

LAYERS, WIDTH, HEADS, CONTEXT, BATCH, VOCABULARY = 4, 128, 4, 64, 12, 65
RATE, BETAS, DECAY = 1e-3, (0.9, 0.99), 0.1
NAMES = ("emma", "olivia", "charlotte", "amelia", "sophia", "isabella", "ava", "evelyn")
END = 26  # the token before and after a name; a to z are 0 to 25

IN_A_ROW = 100

Step = Callable[[int], float]  # number of the step -> loss
Clock = Callable[[], float]  # seconds


class PlainBlock(nn.Module):
    """A block as most people write it."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)
        self.gelu = nn.GELU("tanh" if activation == "gelu_tanh" else "none")

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        joint = self.query_key_value(self.attention_norm(x)).split(WIDTH, 2)
        queries, keys, values = (part.view(batch, length, HEADS, -1).transpose(1, 2) for part in joint)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.down(self.gelu(self.up(self.feedforward_norm(x))))


class PlainModel(nn.Module):
    """The usual eager model at nanoGPT's setting, with the weights of ours."""

    def __init__(self, weights: dict[str, Any], activation: str) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(PlainBlock(activation) for _ in range(LAYERS))
        self.final_norm = nn.LayerNorm(WIDTH, bias=False)
        own = {"tokens": self.tokens.weight, "positions": self.positions.weight, "final": self.final_norm.weight}
        given = {name: torch.tensor(weight) for name, weight in weights.items()}
        with torch.no_grad():
            own["tokens"].copy_(given["embedding.tokens"])
            own["positions"].copy_(given["embedding.positions"])
            own["final"].copy_(given["final_norm.gain"])
            for layer, block in enumerate(self.blocks):
                mine, part = dict(block.named_parameters()), f"blocks.{layer}."
                joint = [given[f"{part}attention.{name}"] for name in ("query", "key", "value")]
                mine["query_key_value.weight"].copy_(torch.cat(joint))
                mine["output.weight"].copy_(given[f"{part}attention.output"])
                mine["up.weight"].copy_(given[f"{part}feedforward.up"])
                mine["down.weight"].copy_(given[f"{part}feedforward.down"])

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(CONTEXT))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.final_norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))


def plain_step(model: PlainModel, batches: list[tuple[Tensor, Tensor]]) -> Step:
    groups = [
        {"params": [each for each in model.parameters() if each.ndim == 2], "weight_decay": DECAY},
        {"params": [each for each in model.parameters() if each.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS)

    def step(number: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model(*batches[number])
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def nanogpt_steps(activation: Any, rounds: int, threads: int) -> dict[str, Step]:
    """The plain PyTorch loop first, then both engines with the same weights."""
    spec = ModelSpec(
        vocabulary_size=VOCABULARY,
        context=CONTEXT,
        width=WIDTH,
        layers=LAYERS,
        heads=HEADS,
        positions="learned",
        norm="layer",
        activation=activation,
        tied_embeddings=True,
    )
    drawn = torch.randint(VOCABULARY, (rounds, BATCH, CONTEXT + 1), generator=torch.Generator().manual_seed(0))
    batches = [(windows[:, :-1].contiguous(), windows[:, 1:].contiguous()) for windows in drawn]
    in_numpy = [(tokens.numpy(), targets.numpy()) for tokens, targets in batches]
    ours, theirs = arrays.Transformer(spec, threads=threads), tensors.Transformer(spec)
    our_optimizer = AdamW(ours, RATE, betas=BETAS, weight_decay=DECAY)
    their_optimizer = TensorsAdamW(theirs, RATE, betas=BETAS, weight_decay=DECAY)
    return {
        "plain PyTorch": plain_step(PlainModel(ours.weights(), activation), batches),
        "tensors": lambda number: theirs.train_step(*batches[number], their_optimizer),
        "arrays": lambda number: ours.train_step(*in_numpy[number], our_optimizer),
    }


def microgpt_model(matrices: Any) -> Step:
    """The engine's step of microgpt's size, with the weights of the plain program."""
    drawn = {name: np.array([[value.data for value in row] for row in rows]) for name, rows in matrices.items()}
    names = {"wte": "embedding.tokens", "wpe": "embedding.positions", "lm_head": "output.weight"}
    for part, own in {"wq": "query", "wk": "key", "wv": "value", "wo": "output"}.items():
        names[f"layer0.attn_{part}"] = f"blocks.0.attention.{own}"
    names |= {"layer0.mlp_fc1": "blocks.0.feedforward.up", "layer0.mlp_fc2": "blocks.0.feedforward.down"}
    weights = {names[name]: weight for name, weight in drawn.items()}
    model = arrays.Transformer(preset("microgpt"), weights=weights, dtype=np.float64)
    optimizer = Adam(model, 0.01, betas=(0.85, 0.99))

    def step(number: int) -> float:
        row = name_tokens(number)
        return model.train_step(np.array([row[:-1]]), np.array([row[1:]]), optimizer)

    return step


def microgpt_program(matrices: Any) -> Step:
    """A step of microgpt.py."""
    values = [value for matrix in matrices.values() for row in matrix for value in row]
    optimizer = microgpt.Adam(values, 0.01, 0.85, 0.99)

    def step(number: int) -> float:
        loss = microgpt.name_loss(name_tokens(number), matrices, 1, 4, 16)
        for value in values:
            value.grad = 0.0
        loss.backward()
        optimizer.step(number, math.inf)  # of infinitely many steps: the rate stays
        return loss.data

    return step


def name_tokens(number: int) -> list[int]:
    return [END, *(ord(letter) - ord("a") for letter in NAMES[number % len(NAMES)]), END]


def race_microgpt(rounds: int, clock: Clock) -> None:
    """One step of the plain program, then `IN_A_ROW` of ours, as in training, where a step follows a step."""
    random.seed(42)
    matrices = microgpt.build_parameters(27, 1, 16, 16)
    ours, timed = microgpt_model(matrices), microgpt_model(matrices)
    plain = microgpt_program(matrices)
    plain_times, times, apart = [], [], 0.0
    for number in range(rounds):
        began = clock()
        loss = plain(number)
        plain_times.append(clock() - began)
        apart = max(apart, abs(ours(number) - loss))
        began = clock()
        for each in range(IN_A_ROW):
            timed(each)
        times.append((clock() - began) / IN_A_ROW)
    report("microgpt's size, one name a step", {"plain program": plain_times, "arrays": times}, {"arrays": apart})


def race(title: str, steps: dict[str, Step], rounds: int, clock: Clock) -> None:
    """All take turns, a step at a time."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name, step in steps.items():
            began = clock()
            losses[name].append(step(number))
            times[name].append(clock() - began)
    first, *others = losses
    pairs = {name: zip(losses[name], losses[first], strict=True) for name in others}
    report(title, times, {name: max(abs(a - b) for a, b in both) for name, both in pairs.items()})


def report(title: str, times: dict[str, list[float]], apart: dict[str, float]) -> None:
    """A line for each; the first is what the others are compared with."""
    first = next(iter(times))
    print(f"\n{title}\n{'':16}{'ms a step':>10}{'least':>10}{f'x {first}':>18}{'losses apart by':>18}")
    for name, taken in times.items():
        faster = statistics.median(a / b for a, b in zip(times[first], taken, strict=True))
        print(
            f"{name:16}{1_000 * statistics.median(taken):10.3f}{1_000 * min(taken):10.3f}"
            f"{faster:18.2f}{apart.get(name, 0.0):18.1e}"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description="Measure training steps of the arrays engine beside others.")
    arguments.add_argument("--rounds", type=int, default=40, help="default: 40")
    arguments.add_argument("--threads", type=int, default=2, help="of PyTorch and of the arrays engine; default: 2")
    arguments.add_argument(
        "--seconds",
        choices=("wall", "processor"),
        default="wall",
        help="on the clock, or those that the processors spent on it (all threads together); default: wall",
    )
    given = arguments.parse_args()
    clock = time.perf_counter if given.seconds == "wall" else time.process_time
    torch.set_num_threads(given.threads)
    gc.collect()
    gc.freeze()
    for activation in ("gelu", "gelu_tanh"):
        steps = nanogpt_steps(activation, given.rounds, given.threads)
        race(f"nanoGPT's setting, {BATCH * CONTEXT} tokens a step, {activation}", steps, given.rounds, clock)
    race_microgpt(given.rounds, clock)


if __name__ == "__main__":
    main()
