"""How fast a small model writes, beside `transformers` with its own cache: same GPT-2 weights, same tokens, one run.

    python benchmarks/generation.py [--threads 2] [--tokens 200] [--rounds 5]

Greedy decoding from a prompt of 8 tokens. The two take turns, so that whatever else the machine does hits both; the
ratio is that of the medians. "floor" is what a step cannot go below here: the time to read all weights and the
cache once, at the speed at which this machine sums an array of that size; the rest of a step is starting operations.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import torch

from glassbox.engines.tensors import Transformer
from glassbox.generation import Decoder, Decoding
from glassbox.spec import ModelSpec

logging.getLogger("transformers").setLevel(logging.ERROR)
from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402  (its warnings are silenced first)

VOCABULARY, CONTEXT, PROMPT = 65, 256, 8
# Name, layers, heads, width, batch, the ratio that the project promises.
CASES = [
    ("0.83M", 4, 4, 128, 1, 3.5),
    ("0.83M", 4, 4, 128, 16, 2.5),
    ("10.8M", 6, 6, 384, 1, 2.0),
    ("10.8M", 6, 6, 384, 16, 1.8),
]


def pair(layers: int, heads: int, width: int) -> tuple[GPT2LMHeadModel, Transformer]:
    """The same random GPT-2 in both; weights large enough that no two tokens are nearly as likely."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=width, n_layer=layers, n_head=heads,
        initializer_range=0.1, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    theirs = GPT2LMHeadModel(config).eval()
    spec = ModelSpec(
        vocabulary_size=VOCABULARY, context=CONTEXT, width=width, layers=layers, heads=heads, positions="learned",
        norm="layer", norm_bias=True, attention_bias="all", feedforward_bias=True, activation="gelu_tanh",
        tied_embeddings=True,
    )  # fmt: skip
    held = theirs.state_dict()
    weights = {
        "embedding.tokens": held["transformer.wte.weight"],
        "embedding.positions": held["transformer.wpe.weight"],
        "final_norm.gain": held["transformer.ln_f.weight"],
        "final_norm.bias": held["transformer.ln_f.bias"],
    }
    for layer in range(layers):
        their, our = f"transformer.h.{layer}", f"blocks.{layer}"
        for norm, name in (("attention_norm", "ln_1"), ("feedforward_norm", "ln_2")):
            weights[f"{our}.{norm}.gain"] = held[f"{their}.{name}.weight"]
            weights[f"{our}.{norm}.bias"] = held[f"{their}.{name}.bias"]
        joint, bias = held[f"{their}.attn.c_attn.weight"].t(), held[f"{their}.attn.c_attn.bias"]
        for name, matrix, vector in zip(("query", "key", "value"), joint.split(width), bias.split(width), strict=True):
            weights[f"{our}.attention.{name}"], weights[f"{our}.attention.{name}_bias"] = matrix, vector
        for name, other in (
            ("attention.output", "attn.c_proj"),
            ("feedforward.up", "mlp.c_fc"),
            ("feedforward.down", "mlp.c_proj"),
        ):
            weights[f"{our}.{name}"] = held[f"{their}.{other}.weight"].t()
            weights[f"{our}.{name}_bias"] = held[f"{their}.{other}.bias"]
    return theirs, Transformer(spec, weights=weights).eval()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def reading(numbers: int) -> float:
    """Seconds to sum that many float32 once: the least of several."""
    array = torch.ones(numbers)
    return min(seconds(array.sum) for _ in range(20))


def measure(
    name: str, layers: int, heads: int, width: int, batch: int, promised: float, tokens: int, rounds: int
) -> None:
    theirs, ours = pair(layers, heads, width)
    prompt = torch.randint(0, VOCABULARY, (batch, PROMPT), generator=torch.Generator().manual_seed(1))
    decoder, rows, decoding = Decoder(ours), prompt.tolist(), Decoding(max_tokens=tokens, temperature=0)

    def ask_theirs() -> list[list[int]]:
        written = theirs.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, min_new_tokens=tokens,
            do_sample=False, use_cache=True, pad_token_id=0, eos_token_id=None,
        )  # fmt: skip
        return written[:, PROMPT:].tolist()

    def ask_ours() -> list[list[int]]:
        return [list(row) for row in zip(*(step.ids for step in decoder.tokens(rows, decoding)), strict=True)]

    expected, preparing = ask_theirs(), seconds(lambda: decoder._step(batch))
    equal = ask_ours() == expected
    times = [(seconds(ask_theirs), seconds(ask_ours)) for _ in range(rounds)]
    their, our = (statistics.median(column) for column in zip(*times, strict=True))
    weights = sum(weight.numel() for weight in ours.parameters())
    cached = 2 * layers * batch * width * (PROMPT + tokens // 2)
    print(
        f"{name}, batch {batch:2}: {batch * tokens / our:8,.0f} tokens/s, transformers {batch * tokens / their:7,.0f}: "
        f"{their / our:4.2f} x (promised {promised}), tokens {'equal' if equal else 'DIFFER'}; "
        f"a step {our / tokens * 1e6:6,.0f} us, floor {reading(weights + cached) * 1e6:5,.0f} us, "
        f"prepared once in {preparing * 1e3:.0f} ms",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--tokens", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    for case in CASES:
        measure(*case, chosen.tokens, chosen.rounds)


if __name__ == "__main__":
    main()
