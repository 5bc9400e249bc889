"""What looking into a model costs, beside a plain forward pass, and beside `transformers` that gives its attention.

    python benchmarks/insight.py [--threads 1] [--rounds 40] [--heads] [--pace]

The model is that of the quickstart (4 layers, 3 heads, width 192, context 256); with the same sizes a GPT-2 of
`transformers` reads the same tokens, with its fused attention and with `output_attentions`. All take turns, so that
whatever else the machine does hits all alike; a ratio is that of the minima, and of the medians in brackets.

--heads: what silencing each head and patching each place cost, beside a pass for each of them.
--pace: train models for a moment, and compare a step's time with what a slice of each model predicts (A8).
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import torch

from glassbox.engines.tensors import Transformer
from glassbox.evaluation import training_time
from glassbox.insight import (
    ablate_heads,
    ablation_effects,
    detect_heads,
    heads_on_repeated,
    patch_activations,
    trace_tokens,
)
from glassbox.insight.interventions import run_changed
from glassbox.spec import ModelSpec, count_flops

logging.getLogger("transformers").setLevel(logging.ERROR)
from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402  (its warnings are silenced first)

QUICKSTART = ModelSpec(
    vocabulary_size=4_096, context=256, width=192, layers=4, heads=3, activation="relu_squared", qk_norm=True
)  # fmt: skip
BAR = 1.5  # what a trace of all attention may cost, in plain forward passes


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=40)
    arguments.add_argument("--heads", action="store_true")
    arguments.add_argument("--pace", action="store_true")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    if given.pace:
        compare_paces()
        return
    if given.heads:
        compare_interventions(32, given.rounds)
        return
    for length in (64, 256):
        compare_traces(length, given.rounds)


def compare_traces(length: int, rounds: int) -> None:
    """Print every way to look as a multiple of the plain pass of its own library."""
    model = Transformer(QUICKSTART, 0)
    tokens = torch.randint(QUICKSTART.vocabulary_size, (1, length))
    fused, open_ = (theirs(kind) for kind in ("sdpa", "eager"))
    calls: dict[str, Callable[[], object]] = {
        "plain": lambda: model.forward(tokens),
        "all attention": lambda: trace_tokens(model, tokens, ["blocks.*.attention.weights"]),
        "every residual": lambda: trace_tokens(model, tokens, ["blocks.*.residual"]),
        "every value": lambda: trace_tokens(model, tokens, ["*"]),
        "transformers": lambda: fused(tokens),
        "transformers with attention": lambda: open_(tokens, output_attentions=True),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.no_grad():
        for _ in range(rounds):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
        start = time.perf_counter()
        ablation_effects(model, tokens)
        ablated = time.perf_counter() - start
    print(f"\n{length} tokens; plain {1e3 * min(times['plain']):.1f} ms")
    for name in list(calls)[1:]:
        base = "transformers" if name.startswith("transformers ") else "plain"
        ratio, middle = (pick(times[name]) / pick(times[base]) for pick in (min, statistics.median))
        print(f"  {name:<28} {ratio:5.2f} ({middle:.2f}) of {base}")
    heads = QUICKSTART.layers * QUICKSTART.heads
    print(f"  every head ablated once      {ablated / min(times['plain']):5.2f} of plain, {heads} heads")
    print(f"  all attention is {'within' if min(times['all attention']) < BAR * min(times['plain']) else 'OVER'} {BAR}")


@torch.no_grad()
def compare_interventions(length: int, rounds: int) -> None:
    """Print milliseconds and how often a pass for each would take as long, the two in turn."""
    model = Transformer(QUICKSTART, 0)
    spec, tokens = QUICKSTART, torch.randint(QUICKSTART.vocabulary_size, (1, length))
    corrupted = tokens.clone()
    corrupted[0, 0] = (corrupted[0, 0] + 1) % spec.vocabulary_size
    heads = [(layer, head) for layer in range(spec.layers) for head in range(spec.heads)]
    names = [f"blocks.{layer}.residual" for layer in range(spec.layers)]
    on_repeated = heads_on_repeated(model)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        f"ablate {len(heads)} heads": (
            lambda: ablation_effects(model, tokens),
            lambda: [ablate_heads(model, tokens, silent) for silent in ((), *([head] for head in heads))],
        ),
        f"patch {len(names)} x {length} places": (
            lambda: patch_activations(model, tokens, corrupted, answer=0, foil=1),
            lambda: [run_changed(model, tokens, {name: lambda _: None}) for name in names for _ in range(length)],
        ),
        "detect heads": (
            lambda: detect_heads(model, tokens, on_repeated=on_repeated),
            lambda: detect_heads(model, tokens),  # with what they do on repeated tokens, which a text doesn't change
        ),
    }
    for name, calls in pairs.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for call, taken in zip(calls, times, strict=True):
                start = time.perf_counter()
                call()
                taken.append(1e3 * (time.perf_counter() - start))
        ours, other = (statistics.median(taken) for taken in times)
        print(f"{name:<24} {ours:6.1f} ms, beside {other:6.1f}: {other / ours:.1f} times")


def theirs(attention: str) -> GPT2LMHeadModel:
    """A GPT-2 of the same sizes."""
    config = GPT2Config(
        vocab_size=QUICKSTART.vocabulary_size, n_positions=QUICKSTART.context, n_embd=QUICKSTART.width,
        n_layer=QUICKSTART.layers, n_head=QUICKSTART.heads, attn_implementation=attention,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def compare_paces() -> None:
    """Print the FLOP/s that training reaches, of the model itself and of its slice, twice in turn."""
    for width, layers in ((384, 6), (640, 8), (768, 12)):
        spec = ModelSpec(vocabulary_size=8_192, context=256, width=width, layers=layers, heads=width // 64)
        measured: list[tuple[float, float]] = []
        for _ in range(3):
            pair = [
                training_time.measure(one, batch=2, length=256).flops for one in (spec, training_time.slice_of(spec))
            ]
            measured.append((pair[0], pair[1]))
        own, sliced = (statistics.median(values) for values in zip(*measured, strict=True))
        step = count_flops(spec).training * 512 / own
        print(f"{layers} x {width}: {own / 1e9:.0f} GFLOP/s, its slice {sliced / 1e9:.0f}; a step takes {step:.2f} s, "
              f"predicted {step * own / sliced:.2f} s: {own / sliced:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
