"""How fast a model answers many at once, beside the engine's own batch of as many: same model, same prompts, one run.

    python benchmarks/serving.py [--threads 2] [--rounds 9] [--tokens 200] [--seconds 5]

"together": 16 requests with prompts of one length that come at the same moment, against `Decoder.tokens` with a batch
of 16. They take turns (A B A B), and the least time of each counts, because whatever else the machine does only adds
to it. For the same reason the time of a step is that of the fastest tenth: on a busy machine that ratio is steadier.
Both give ids and nothing else: text is made by whoever sends it.
"coming and going": 16 clients, each of whom asks again when its answer has ended, with prompts and answers of
different lengths.
"first token": how long a short prompt waits for its first token beside 15 that are being answered.
"""

from __future__ import annotations

import glassbox  # noqa: F401  # isort: skip  (before PyTorch: it says how threads wait on busy cores)

import argparse
import itertools
import logging
import random
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from glassbox.engines.tensors import Transformer
from glassbox.generation import Decoder, Decoding
from glassbox.serving.batching import ContinuousBatcher
from glassbox.serving.requests import Request
from glassbox.spec import ModelSpec, count_parameters
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.training.recipe import recommend

ROWS, PROMPT = 16, 8
PROMISED_THROUGHPUT, PROMISED_FIRST_TOKEN = 0.8, 0.1  # of the engine's own; seconds


@dataclass(frozen=True)
class Case:
    """A model with a tokenizer that has a text for each of its ids."""

    name: str
    model: Transformer
    tokenizer: CharacterTokenizer


def cases() -> list[Case]:
    """The small model that the project's figures are about, and what `glassbox quickstart` trains in three minutes."""
    small = ModelSpec(vocabulary_size=65, context=256, width=128, layers=4, heads=4)
    quickstart = recommend(4_000_000, 4096, 180, 1e11).spec
    found: list[Case] = []
    for name, spec in (("small", small), ("quickstart", quickstart)):
        tokenizer = CharacterTokenizer("".join(chr(0x4E00 + i) for i in range(spec.vocabulary_size - 1)))
        full_name = f"{name}, {count_parameters(spec).total / 1e6:.2f}M"
        found.append(Case(full_name, Transformer(spec, 1).eval(), tokenizer))
    return found


class Listener:
    """Waits until answers have ended, and for the first of them notes when each token came."""

    def __init__(self, requests: list[Request]) -> None:
        self.requests = requests
        self.times: list[float] = []
        self._ended = threading.Semaphore(0)
        for request in requests:
            request.on_end = self._ended.release
        requests[0].on_token = self._note

    @property
    def ids(self) -> list[list[int]]:
        return [request.ids[request.prompt :] for request in self.requests]

    def wait(self) -> None:
        for _ in self.requests:
            if not self._ended.acquire(timeout=300):
                raise SystemExit("the batcher gave no answer for five minutes")
        for request in self.requests:
            if request.failure is not None:
                raise SystemExit(f"the batcher failed: {request.failure.problem}")

    def _note(self) -> None:
        self.times.append(time.perf_counter())
        self.requests[0].on_token = self._note


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def prompts_of(case: Case, lengths: list[int], seed: int = 1) -> list[list[int]]:
    dice = random.Random(seed)
    return [[dice.randrange(case.model.spec.vocabulary_size) for _ in range(length)] for length in lengths]


def together(case: Case, temperature: float, tokens: int, rounds: int) -> None:
    decoder, prompts = Decoder(case.model, case.tokenizer), prompts_of(case, [PROMPT] * ROWS)
    decoding = Decoding(max_tokens=tokens, temperature=temperature)
    engine: list[list[int]] = []
    engine_steps: list[float] = []
    batcher_steps: list[float] = []
    heard: Listener | None = None

    def ask_engine() -> None:
        nonlocal engine
        steps: list[list[int]] = []
        moments: list[float] = []
        for step in decoder.tokens(prompts, decoding):
            steps.append(step.ids)
            moments.append(time.perf_counter())
        engine_steps.extend(later - earlier for earlier, later in itertools.pairwise(moments))
        engine = [list(row) for row in zip(*steps, strict=True)]

    def ask_batcher() -> None:
        nonlocal heard
        tickets = [batcher.submit(prompt, decoding, row=row) for row, prompt in enumerate(prompts)]
        heard = Listener([ticket.request for ticket in tickets])
        heard.wait()
        batcher_steps.extend(later - earlier for earlier, later in itertools.pairwise(heard.times))

    with ContinuousBatcher(case.model, case.tokenizer, rows=ROWS) as batcher:
        for work in (ask_engine, ask_batcher):
            work()
        times = [(seconds(ask_engine), seconds(ask_batcher)) for _ in range(rounds)]
    engine_seconds, batcher_seconds = (min(column) for column in zip(*times, strict=True))
    engine_step, batcher_step = (sorted(times)[len(times) // 10] for times in (engine_steps, batcher_steps))
    print(
        f"{case.name}, together, temperature {temperature:g}: {ROWS * tokens / batcher_seconds:7,.0f} tokens/s, engine "
        f"{ROWS * tokens / engine_seconds:7,.0f}: {engine_seconds / batcher_seconds:4.2f} (promised "
        f"{PROMISED_THROUGHPUT}), tokens {'equal' if heard and engine == heard.ids else 'DIFFER'}; a step "
        f"{batcher_step * 1e6:,.0f} us, engine {engine_step * 1e6:,.0f}: {engine_step / batcher_step:.2f}",
        flush=True,
    )


def coming_and_going(case: Case, duration: float) -> None:
    dice, context = random.Random(2), case.model.spec.context
    running: list[Request] = []
    with ContinuousBatcher(case.model, case.tokenizer, rows=ROWS) as batcher:
        deadline, before = time.perf_counter() + duration, batcher.snapshot()
        while time.perf_counter() < deadline:
            running = [request for request in running if not request.ended]
            while len(running) < ROWS:
                prompt = prompts_of(case, [dice.randrange(4, context // 2)], dice.randrange(1 << 30))[0]
                decoding = Decoding(max_tokens=dice.randrange(8, context // 2), seed=dice.randrange(1 << 30))
                running.append(batcher.submit(prompt, decoding).request)
            time.sleep(5e-4)
        after = batcher.snapshot()
    written, read, steps = (getattr(after, name) - getattr(before, name) for name in ("written", "read", "steps"))
    print(
        f"{case.name}, coming and going: {written / duration:7,.0f} tokens/s written, {read / duration:7,.0f} read, "
        f"{written / max(1, steps):.1f} of {ROWS} rows a step",
        flush=True,
    )


def first_token(case: Case, rounds: int) -> None:
    """The first piece of a short prompt beside 15 answers without end."""
    waits: list[float] = []
    endless = Decoding(max_tokens=10_000_000, at_limit="slide")
    with ContinuousBatcher(case.model, case.tokenizer, rows=ROWS) as batcher:
        for row, prompt in enumerate(prompts_of(case, list(range(20, 20 + ROWS - 1)))):
            batcher.submit(prompt, endless, row=row)
        for prompt in prompts_of(case, [PROMPT] * (10 * rounds + 3), seed=3):
            start = time.monotonic()
            request = batcher.submit(prompt, Decoding(max_tokens=1)).request
            while request.first is None:
                time.sleep(1e-4)
            waits.append(request.first - start)
            time.sleep(0.005)
    waits = sorted(waits[3:])
    print(
        f"{case.name}, first token beside {ROWS - 1} others: median {statistics.median(waits) * 1e3:.1f} ms, "
        f"p95 {waits[int(0.95 * len(waits))] * 1e3:.1f} (promised {PROMISED_FIRST_TOKEN * 1e3:.0f})",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--tokens", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--seconds", type=float, default=5.0)
    chosen = arguments.parse_args()
    logging.getLogger("glassbox.serving").setLevel(logging.CRITICAL)  # answers that are cut off at the end are meant
    torch.set_num_threads(chosen.threads)
    for case in cases():
        for temperature in (0.0, 1.0):
            together(case, temperature, chosen.tokens, chosen.rounds)
        coming_and_going(case, chosen.seconds)
        first_token(case, chosen.rounds)


if __name__ == "__main__":
    main()
