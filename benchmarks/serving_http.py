"""How much of the engine's speed is left over HTTP: `glassbox serve-model` as a process, asked by 16 chats at once.

    python benchmarks/serving_http.py [--threads 2] [--rounds 9] [--tokens 200]

"together": 16 streamed chats at once against `Decoder.tokens` with a batch of 16 in this process. They take turns
(A B A B), and the least time of each counts, because whatever else the machine does only adds to it. Whoever asks
shares the cores with the server, so the client is as small as it can be: a socket, and a search for the last event.
Where the machine has other work, compare the processor time that a token takes of each.
"first token": from sending a short chat to its first piece of text, alone and beside 15 that are being answered.
"views": from asking what the model computes over a text of 32 tokens to the last byte of the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from glassbox.engines.tensors import Transformer, save_model
from glassbox.generation import Decoder, Decoding
from glassbox.serving.chat import Chat
from glassbox.spec import ModelSpec, count_parameters
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.training.recipe import recommend

CHATS = 16
PROMISED_THROUGHPUT, PROMISED_FIRST_TOKEN, PROMISED_VIEW = 0.8, 0.1, 0.02  # of the engine's own; seconds
MESSAGE = "shells"
PLAIN = "\n: SystemUserAssistant" + MESSAGE  # what a plainly written chat is spelled with
ENDLESS = 4_000  # tokens of the chats that run beside


@dataclass(frozen=True)
class Case:
    """A model in a folder; its tokenizer has a text for each id and no mark of an end: answers have one length."""

    name: str
    folder: Path
    model: Transformer
    tokenizer: CharacterTokenizer


def cases(folder: Path) -> list[Case]:
    """The small model that the project's figures are about, and what `glassbox quickstart` trains in three minutes."""
    small = ModelSpec(vocabulary_size=65, context=256, width=128, layers=4, heads=4)
    quickstart = recommend(4_000_000, 4096, 180, 1e11).spec.replace(initialization="normal")  # as if it had learned
    found: list[Case] = []
    for name, spec in (("small", small), ("quickstart", quickstart)):
        letters = "".join(sorted(set(PLAIN)))
        letters += "".join(chr(0x4E00 + i) for i in range(spec.vocabulary_size - len(letters)))
        tokenizer = CharacterTokenizer(letters, special_tokens=())
        model, place = Transformer(spec, 1).eval(), folder / name
        (place / "tokenizer").mkdir(parents=True)
        save_model(model, place)
        tokenizer.save(place / "tokenizer")
        found.append(Case(f"{name}, {count_parameters(spec).total / 1e6:.2f}M", place, model, tokenizer))
    return found


@contextlib.contextmanager
def served(case: Case, threads: int) -> Iterator[tuple[int, psutil.Process]]:
    """A process that serves the model: its port, and the process."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "glassbox", "serve-model", str(case.folder), "--port", "0", "--end-with-stdin",
                   "--ready-file", str(ready)]  # fmt: skip
        quiet, environment = subprocess.DEVNULL, os.environ | {"OMP_NUM_THREADS": str(threads)}
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, env=environment)
        try:
            while not ready.exists():
                if child.poll() is not None:
                    raise SystemExit("the server ended before it answered")
                time.sleep(0.02)
            yield json.loads(ready.read_text())["port"], psutil.Process(child.pid)
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()


class Connection:
    """One connection that is kept, and the requests over it."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def chat(self, case: Case, tokens: int, temperature: float, seed: int) -> tuple[float, int]:
        """Seconds until the first text came, and how many tokens were written."""
        start = time.perf_counter()
        self._send("/v1/chat/completions", {
            "model": case.folder.name, "messages": [{"role": "user", "content": MESSAGE}], "stream": True,
            "stream_options": {"include_usage": True}, "max_tokens": tokens, "temperature": temperature, "seed": seed,
        })  # fmt: skip
        first, last = 0.0, b""
        while not last.endswith(b"0\r\n\r\n"):
            some = await self._reader.read(65536)
            if not some:
                raise SystemExit(f"the server closed the connection: {last[-300:]!r}")
            if not first and b'"content":"' in some:
                first = time.perf_counter() - start
            last = last[-2000:] + some
        at = last.rindex(b'"completion_tokens":') + len(b'"completion_tokens":')
        return first, int(last[at : last.index(b",", at)])

    async def post(self, path: str, body: dict[str, object]) -> float:
        """Seconds until an answer with a known length is there."""
        start = time.perf_counter()
        self._send(path, body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(f"{path}: {head!r}")
        at = head.index(b"content-length: ") + len(b"content-length: ")
        await self._reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        return time.perf_counter() - start

    def _send(self, path: str, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)


async def together(case: Case, port: int, child: psutil.Process, temperature: float, tokens: int, rounds: int) -> None:
    prompt = Chat(case.tokenizer, None, {}).prompt([{"role": "user", "content": MESSAGE}])
    decoder, decoding = Decoder(case.model, case.tokenizer), Decoding(max_tokens=tokens, temperature=temperature)
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(Connection(port)) for _ in range(CHATS)]

        async def ask_server() -> None:
            told = await asyncio.gather(
                *(each.chat(case, tokens, temperature, seed) for seed, each in enumerate(connections))
            )
            assert [written for _, written in told] == [tokens] * CHATS

        async def ask_engine() -> None:
            for _ in decoder.tokens([prompt] * CHATS, decoding):
                pass

        for work in (ask_engine, ask_server):
            await work()
        times: list[tuple[float, float]] = []
        spent: list[tuple[float, ...]] = []  # processor seconds of engine, server, client
        for _ in range(rounds):
            begin = time.process_time(), sum(child.cpu_times()[:2])
            alone, between = await seconds(ask_engine), time.process_time()
            times.append((alone, await seconds(ask_server)))
            spent.append((between - begin[0], sum(child.cpu_times()[:2]) - begin[1], time.process_time() - between))
    engine, http = (min(column) for column in zip(*times, strict=True))
    middle = statistics.median(one / other for one, other in times)
    per_token = [1e6 * min(column) / (CHATS * tokens) for column in zip(*spent, strict=True)]
    print(
        f"{case.name}, together, temperature {temperature:g}: {CHATS * tokens / http:7,.0f} tokens/s over HTTP, engine "
        f"{CHATS * tokens / engine:7,.0f}: {engine / http:4.2f}, median of ratios {middle:4.2f} "
        f"(promised {PROMISED_THROUGHPUT}); processor time a token: engine {per_token[0]:.0f} us, server "
        f"{per_token[1]:.0f}, client {per_token[2]:.0f}",
        flush=True,
    )


async def first_token(case: Case, port: int, rounds: int) -> None:
    for beside in (0, CHATS - 1):
        waits: list[float] = []
        async with contextlib.AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(Connection(port)) for _ in range(beside + 1)]
            asked = connections[-1]

            async def keep_busy(connection: Connection) -> None:
                while True:
                    await connection.chat(case, ENDLESS, 1.0, 1)

            busy = [asyncio.ensure_future(keep_busy(each)) for each in connections[:-1]]
            for seed in range(10 * rounds + 3):
                waits.append((await asked.chat(case, 2, 1.0, seed))[0])
                await asyncio.sleep(0.005)
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
        waits = sorted(waits[3:])
        print(
            f"{case.name}, first token over HTTP beside {beside} others: median {statistics.median(waits) * 1e3:.1f} "
            f"ms, p95 {waits[int(0.95 * len(waits))] * 1e3:.1f} (promised {PROMISED_FIRST_TOKEN * 1e3:.0f})",
            flush=True,
        )


async def views(case: Case, port: int, rounds: int) -> None:
    tokens = list(range(32))
    asked: dict[str, dict[str, object]] = {
        "predictions": {}, "attention": {}, "lens": {}, "stream": {}, "operations": {}, "attribution": {},
        "values": {"names": ["blocks.*.residual"]}, "heads": {}, "patching": {"corrupted": [1, *tokens[1:]]},
    }  # fmt: skip
    async with Connection(port) as connection:
        for name, more in asked.items():
            waits = sorted(
                [await connection.post(f"/trace/{name}", {"input": tokens} | more) for _ in range(3 * rounds)]
            )
            print(
                f"{case.name}, view {name}: median {statistics.median(waits) * 1e3:.1f} ms, least {waits[0] * 1e3:.1f} "
                f"(promised {PROMISED_VIEW * 1e3:.0f})",
                flush=True,
            )


async def seconds(work: Callable[[], Awaitable[None]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def measure(case: Case, port: int, child: psutil.Process, tokens: int, rounds: int) -> None:
    for temperature in (0.0, 1.0):
        await together(case, port, child, temperature, tokens, rounds)
    await first_token(case, port, rounds)
    await views(case, port, rounds)


def main() -> None:
    import torch  # behind glassbox, which says how its threads are to wait for one another

    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--tokens", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=9)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            with served(case, chosen.threads) as (port, child):
                asyncio.run(measure(case, port, child, chosen.tokens, chosen.rounds))


if __name__ == "__main__":
    main()
