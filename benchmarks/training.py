"""How fast the default recipe learns and how fast a step is, beside a plain PyTorch loop at nanoGPT's settings.

    python benchmarks/training.py learning tinyshakespeare.txt     the recipe against 2,000 iterations of the loop
    python benchmarks/training.py step tinyshakespeare.txt         the same model at the same setting, tokens a second
    python benchmarks/training.py large tinyshakespeare.txt        the same at 10.7 million parameters

The loop is what a careful person writes in PyTorch: `nn.Linear`, scaled_dot_product_attention, `torch.optim.AdamW`, at
nanoGPT's settings for a CPU (4 layers, 4 heads, width 128, context 64, batch 12, 2,000 iterations, 1e-3 falling in a
cosine to 1e-4 after a warm-up of 100, betas 0.9 and 0.99, decay 0.1, clip 1, characters, the last tenth held out). Both
sides run in turns in one process, so that a busy machine hurts both; the clock stands while they are validated. Losses
are of the whole held-out part, in windows of the context, and don't depend on the machine's speed. Prints JSON.
`--seconds processor` counts the processor's seconds instead of the wall's, for a machine that others use too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glassbox.engines.tensors import Transformer  # before torch allocates anything
from glassbox.engines.tensors.optimizer import AdamW, Muon
from glassbox.spec import ModelSpec
from glassbox.training.schedules import Schedule

import torch  # isort: skip  (after glassbox)
import torch.nn.functional as F  # isort: skip  (after glassbox)
from torch import Tensor, nn  # isort: skip  (after glassbox)

ITERATIONS = 2000
LEARNING: dict[str, Any] = {
    "optimizer": "muon",
    "options": {"momentum": 0.9},
    "batch": 8,
    "steps": 320,
    "lr": 0.03,
    "warmup": 5,
    "decay": 1.0,
    "precision": "fp32",
}
RECIPE = {
    "positions": "rotary",
    "qk_norm": True,
    "norm_gain": False,
    "activation": "relu_squared",
    "initialization": "zero",
    "initial_std": 0.05,
}


class Text:
    """Characters as ids, the first nine tenths to train on; the batch of step t is a function of t."""

    def __init__(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        self.alphabet = sorted(set(text))
        place = {character: number for number, character in enumerate(self.alphabet)}
        ids = torch.tensor([place[character] for character in text])
        cut = int(0.9 * len(ids))
        self.train, self.held_out = ids[:cut], ids[cut:]

    def batch(self, step: int, windows: int, context: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1337 + 1_000_003 * step)
        starts = torch.randint(len(self.train) - context, (windows,), generator=generator)
        rows = self.train[starts[:, None] + torch.arange(context + 1)]
        return rows[:, :-1], rows[:, 1:]

    def validate(self, loss: Callable[[Tensor, Tensor], Tensor], context: int) -> float:
        """The mean loss over all held-out windows that don't overlap."""
        windows = (len(self.held_out) - 1) // context
        inputs = self.held_out[: windows * context].view(windows, context)
        targets = self.held_out[1 : windows * context + 1].view(windows, context)
        total = 0.0
        with torch.no_grad():
            for first in range(0, windows, 64):
                rows = slice(first, first + 64)
                total += loss(inputs[rows], targets[rows]).item() * len(inputs[rows])
        return total / windows


# The plain loop


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.joint, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        query, key, value = (
            part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.joint(self.norm1(x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class PlainTransformer(nn.Module):
    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if residual else 0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Plain:
    """The reference: model, optimiser and one iteration."""

    def __init__(self, text: Text, context: int, width: int, layers: int, heads: int, batch: int) -> None:
        torch.manual_seed(1337)
        self.text, self.context, self.batch = text, context, batch
        self.model = PlainTransformer(len(text.alphabet), context, width, layers, heads)
        decayed = [parameter for parameter in self.model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.model.parameters() if parameter.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
        self.rate = Schedule("cosine", ITERATIONS, 1e-3, warmup=100, floor=0.1)

    def step(self, number: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(number)
        loss = self.model(*self.text.batch(number, self.batch, self.context))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def validate(self) -> float:
        return self.text.validate(self.model, self.context)


# Glassbox


class Ours:
    """The tensors engine with an optimiser, a schedule and a number format."""

    def __init__(self, text: Text, spec: ModelSpec, *, seed: int = 1, **choices: Any) -> None:
        self.text, self.spec, self.batch, self.steps = text, spec, choices["batch"], choices["steps"]
        self.model = Transformer(spec, seed=seed)
        self.half = choices.get("precision") == "bf16"
        options = choices.get("options", {})
        build = Muon if choices["optimizer"] == "muon" else AdamW
        self.optimizer = build(self.model, choices["lr"], **options)
        self.rate = Schedule("wsd", self.steps, choices["lr"], warmup=choices["warmup"], decay=choices["decay"])

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if self.half else contextlib.nullcontext():
            return self.model(inputs, targets)[1].loss

    def step(self, number: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(number) * group["lr_factor"]
        self.loss(*self.text.batch(number, self.batch, self.spec.context)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def validate(self) -> float:
        return self.text.validate(self.loss, self.spec.context)


def learning(text: Text, clock: Callable[[], float]) -> dict[str, Any]:
    """Both from nothing to their last step, in twenty turns."""
    plain = Plain(text, 64, 128, 4, 4, 12)
    ours = Ours(text, nanogpt(text, **RECIPE), **LEARNING)
    sides = {"plain": (plain, ITERATIONS), "recipe": (ours, ours.steps)}
    seconds = dict.fromkeys(sides, 0.0)
    for turn in range(20):
        for name, (side, steps) in sides.items():
            began = clock()
            for number in range(turn * steps // 20, (turn + 1) * steps // 20):
                side.step(number)
            seconds[name] += clock() - began
    found = {
        name: {"steps": steps, "seconds": round(seconds[name], 2), "validation_loss": round(side.validate(), 4)}
        for name, (side, steps) in sides.items()
    }
    return found | {"share_of_the_time": round(seconds["recipe"] / seconds["plain"], 3)}


def compare(sides: dict[str, Plain | Ours], rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Milliseconds of a step of each, in turns after two steps to warm up; how many times as fast as the first."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 2):
        for name, side in sides.items():
            began = clock()
            side.step(number)
            times[name].append(clock() - began)
    first = next(iter(sides))
    return {
        name: {
            "milliseconds": round(1e3 * statistics.median(taken[2:]), 2),
            "times_as_fast": round(
                statistics.median(one / other for one, other in zip(times[first][2:], taken[2:], strict=True)), 2
            ),
        }
        for name, taken in times.items()
    }


def nanogpt(text: Text, **changes: Any) -> ModelSpec:
    """Its architecture at its CPU setting; `changes` are the recipe's."""
    fields = {"positions": "learned", "norm": "layer", "activation": "gelu", "tied_embeddings": not changes}
    sizes = {"context": 64, "width": 128, "layers": 4, "heads": 4}
    return ModelSpec.checked({"vocabulary_size": len(text.alphabet), **sizes, **fields, **changes})


def same_setting(text: Text, batch: int, precision: str, **sizes: int) -> Ours:
    choices = {"optimizer": "adamw", "batch": batch, "steps": ITERATIONS, "lr": 1e-3, "warmup": 100, "decay": 1.0}
    return Ours(text, nanogpt(text).replace(**sizes), precision=precision, **choices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["learning", "step", "large"])
    parser.add_argument("text", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--batch", type=int, default=64, help="windows of a step of the large model")
    parser.add_argument("--seconds", choices=["wall", "processor"], default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if arguments.seconds == "wall" else time.process_time
    text = Text(arguments.text)
    if arguments.what == "learning":
        found = learning(text, clock)
    elif arguments.what == "step":
        sides = {"plain": Plain(text, 64, 128, 4, 4, 12)} | {
            precision: same_setting(text, 12, precision) for precision in ("fp32", "bf16")
        }
        found = compare(sides, arguments.rounds or 100, clock)
    else:
        sizes = {"context": 256, "width": 384, "layers": 6, "heads": 6}
        sides = {"plain": Plain(text, 256, 384, 6, 6, arguments.batch)} | {
            precision: same_setting(text, arguments.batch, precision, **sizes) for precision in ("fp32", "bf16")
        }
        found = compare(sides, arguments.rounds or 3, clock)
    print(json.dumps({"threads": arguments.threads, "clock": arguments.seconds, **found}, indent=1))


if __name__ == "__main__":
    main()
