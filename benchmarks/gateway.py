"""What the workshop costs between a client and a model's process: the same chats to both, taking turns.

    python benchmarks/gateway.py [--threads 2] [--rounds 9] [--tokens 200]

"together": 16 streamed chats at once, straight to `glassbox serve-model` and through `glassbox workshop` to another
process with the same model (A B A B). The least time of each counts, because whatever else the machine does only adds
to it, and the median of the ratios stands beside. The promise is of the engine's own batch of 16: multiply with the
ratio that `serving_http.py` prints.
"first token": from sending a short chat to its first piece of text, alone and beside 15 that are being answered.
"view": the attention over a text of 32 tokens, to the last byte of the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
from serving_http import CHATS, ENDLESS, PROMISED_FIRST_TOKEN, PROMISED_VIEW, Case, Connection, cases, served

from glassbox.workshop.accounts.keys import ApiKeys
from glassbox.workshop.accounts.users import LOCAL_USER, Users
from glassbox.workshop.database import Database
from glassbox.workspace import Workspace


class KeyedConnection(Connection):
    """One that shows a key."""

    def __init__(self, port: int, key: str) -> None:
        super().__init__(port)
        self._key = key

    def _send(self, path: str, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self._writer.write(head.encode() + content)


class Way:
    """One way to a model: straight to its process, or through the workshop."""

    def __init__(self, name: str, port: int, key: str, views: str, process: psutil.Process) -> None:
        self.name, self._port, self._key, self.views, self._process = name, port, key, views, process

    def connection(self) -> Connection:
        return KeyedConnection(self._port, self._key)

    def spent(self) -> float:
        """Processor seconds of its server alone."""
        return sum(self._process.cpu_times()[:2])


@contextlib.contextmanager
def workshop(case: Case, folder: Path, threads: int) -> Iterator[Way]:
    """A workshop that serves the model under the name of its folder."""
    with Workspace(folder).artifacts.draft("model", case.folder.name) as draft:
        shutil.copytree(case.folder, draft.folder, dirs_exist_ok=True)
    database = Database.in_folder(folder)
    Users(database).local()
    key, _ = ApiKeys(database).make(LOCAL_USER, "benchmark")
    database.close()
    command = [sys.executable, "-m", "glassbox", "workshop", "--port", "0", "--workspace", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        assert server.stdout is not None
        address = server.stdout.readline().decode().partition("/open")[0]
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}) as web:
            body = {"model": case.folder.name, "threads": threads, "unload_after": None}
            web.post("/api/deployments", json=body).raise_for_status()
            while (state := web.get(f"/api/deployments/{case.folder.name}").json()["state"]) != "ready":
                if state == "failed":
                    raise SystemExit("the model did not come to answer")
                time.sleep(0.1)
        port, views = int(address.rpartition(":")[2]), f"/api/deployments/{case.folder.name}/trace/attention"
        yield Way("through the workshop", port, key, views, psutil.Process(server.pid))
    finally:
        server.terminate()
        server.wait()


async def chats(case: Case, way: Way, tokens: int) -> float:
    """Seconds that 16 at once take, over connections that are open when it begins."""
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(way.connection()) for _ in range(CHATS)]
        start = time.perf_counter()
        told = await asyncio.gather(*(one.chat(case, tokens, 1.0, seed) for seed, one in enumerate(connections)))
        assert [written for _, written in told] == [tokens] * CHATS
        return time.perf_counter() - start


async def together(case: Case, ways: list[Way], tokens: int, rounds: int) -> None:
    times: list[list[float]] = []
    spent: list[float] = []
    for turn in range(rounds + 1):
        before = ways[1].spent()
        row = [await chats(case, way, tokens) for way in ways]
        if turn:  # the first one warms up
            times.append(row)
            spent.append(ways[1].spent() - before)
    direct, through = (min(column) for column in zip(*times, strict=True))
    print(
        f"{case.name}, together: {CHATS * tokens / through:7,.0f} tokens/s {ways[1].name}, {ways[0].name} "
        f"{CHATS * tokens / direct:7,.0f}: {direct / through:4.2f}, median of ratios "
        f"{statistics.median(one / other for one, other in times):4.2f}; processor time of the workshop a token: "
        f"{1e6 * min(spent) / (CHATS * tokens):.1f} us",
        flush=True,
    )


async def first_token(case: Case, ways: list[Way], beside: int, rounds: int) -> None:
    waits: list[list[float]] = [[] for _ in ways]
    for way, heard in zip(ways, waits, strict=True):
        async with contextlib.AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(way.connection()) for _ in range(beside + 1)]

            async def keep_busy(connection: Connection) -> None:
                while True:
                    await connection.chat(case, ENDLESS, 1.0, 1)

            busy = [asyncio.ensure_future(keep_busy(each)) for each in connections[:-1]]
            for seed in range(10 * rounds + 3):
                heard.append((await connections[-1].chat(case, 2, 1.0, seed))[0])
                await asyncio.sleep(0.005)
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
    for way, heard in zip(ways, waits, strict=True):
        ordered = sorted(heard[3:])
        print(
            f"{case.name}, first token beside {beside}, {way.name}: median {statistics.median(ordered) * 1e3:.1f} "
            f"ms, p95 {ordered[int(0.95 * len(ordered))] * 1e3:.1f} (promised {PROMISED_FIRST_TOKEN * 1e3:.0f})",
            flush=True,
        )


async def view(case: Case, ways: list[Way], rounds: int) -> None:
    waits: list[list[float]] = [[] for _ in ways]
    for _ in range(3 * rounds):
        for way, heard in zip(ways, waits, strict=True):
            async with way.connection() as connection:
                heard.append(await connection.post(way.views, {"input": list(range(32))}))
    for way, heard in zip(ways, waits, strict=True):
        print(
            f"{case.name}, view attention, {way.name}: median {statistics.median(heard) * 1e3:.1f} ms, least "
            f"{min(heard) * 1e3:.1f} (promised {PROMISED_VIEW * 1e3:.0f})",
            flush=True,
        )


async def measure(case: Case, ways: list[Way], tokens: int, rounds: int) -> None:
    await together(case, ways, tokens, rounds)
    for beside in (0, CHATS - 1):
        await first_token(case, ways, beside, rounds)
    await view(case, ways, rounds)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--tokens", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=9)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            place = Path(folder) / f"workspace-{case.folder.name}"
            with served(case, chosen.threads) as (port, child), workshop(case, place, chosen.threads) as through:
                direct = Way("straight to the process", port, "none", "/trace/attention", child)
                asyncio.run(measure(case, [direct, through], chosen.tokens, chosen.rounds))


if __name__ == "__main__":
    main()
