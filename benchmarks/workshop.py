"""How fast the workshop's server is, and what watching costs: a real server process, asked over loopback.

    python benchmarks/workshop.py [--runs 1000] [--events 10000] [--starts 5] [--watchers 50] [--rate 200]
                                  [--seconds 20]

- start: from the command to the first answer of /health, several times; the first time, the database is made.
- list: GET /api/runs with that many runs in the workspace; curve: GET /api/runs/{id}/curves at 1,000 points, each time
  of another run, so that nothing was read before.
- watching: the server's processor time while so many WebSockets watch ten runs that write ten events a second.
- rate: a mix of requests that don't involve a model, so many a second, a fifth of them lists.
The clients are other processes than the server, but share its cores: what is shown is what a person would wait. Where
processor time is shown, it is in cores: 50 % of one means that it was at work half of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import psutil
import websockets

from glassbox.workspace import Workspace


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=1000)
    arguments.add_argument("--events", type=int, default=10_000)
    arguments.add_argument("--watchers", type=int, default=50)
    arguments.add_argument("--rate", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--starts", type=int, default=5)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), chosen.runs, chosen.events)
        starts: list[float] = []
        for _ in range(chosen.starts - 1):
            with server(Path(folder)) as started:
                starts.append(started.seconds)
        with server(Path(folder)) as started:
            starts.append(started.seconds)
            print(
                f"start to the first answer of /health: {starts[0]:.2f} s the first time; of all {len(starts)} "
                f"median {statistics.median(starts):.2f} s, best {min(starts):.2f} s",
                flush=True,
            )
            asyncio.run(measure(Path(folder), started, chosen))


def fill(folder: Path, runs: int, events: int) -> None:
    """A workspace with finished runs, each with so many steps."""
    began = time.time()
    workspace = Workspace(folder)
    lines = [
        json.dumps(
            {
                "sequence": number,
                "time": began + number,
                "attempt": 1,
                "kind": "metrics",
                "step": number,
                "values": {"loss": 3 / (1 + number / 1000), "gradient_norm": 1.5, "learning_rate": 1e-3},
            },
            separators=(",", ":"),
        )
        for number in range(events)
    ]
    content = "\n".join(lines) + "\n"
    for number in range(runs):
        run = workspace.runs.create("pretrain", name=f"model-{number}", settings={"steps": events}, inputs={})
        (run.folder / "events.jsonl").write_text(content)
        state = run.status.model_copy(update={"state": "finished", "attempt": 1})
        (run.folder / "state.json").write_text(state.model_dump_json())
    os.sync()  # else the disk would be busy with them half a minute later, while something else is measured
    print(f"{runs:,} runs of {events:,} events made in {time.time() - began:.0f} s", flush=True)


@dataclass(frozen=True)
class Server:
    """A workshop at work: the cookies let one in, and it took so many seconds to answer."""

    process: psutil.Process
    address: str
    cookies: httpx.Cookies
    seconds: float


@contextlib.contextmanager
def server(folder: Path) -> Generator[Server]:
    """`glassbox workshop` as a person starts it."""
    glassbox = str(Path(sys.executable).with_name("glassbox"))
    began = time.perf_counter()
    process = subprocess.Popen(
        [glassbox, "workshop", "--port", "0", "--workspace", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    way_in = process.stdout.readline().strip()
    address = way_in.partition("/open")[0]
    try:
        with httpx.Client() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    client.get(f"{address}/health").raise_for_status()
                    break
                time.sleep(0.01)
            seconds = time.perf_counter() - began
            client.get(way_in)
            yield Server(psutil.Process(process.pid), address, client.cookies, seconds)
    finally:
        process.terminate()
        process.wait()


async def measure(folder: Path, server: Server, chosen: argparse.Namespace) -> None:
    runs = [entry.name for entry in (folder / "runs").iterdir()]
    process = server.process
    async with httpx.AsyncClient(base_url=server.address, cookies=server.cookies, timeout=60) as client:

        async def ask(path: str) -> None:
            answer = await client.get(path)
            answer.raise_for_status()

        print(f"memory: {process.memory_info().rss / 1e6:.0f} MB at rest")
        await report("list", ask, ["/api/runs"] * 100)
        some = random.Random(0).sample(runs, min(200, len(runs)))
        await report("curve, read for the first time", ask, [f"/api/runs/{run}/curves" for run in some])
        await report("curve, again", ask, [f"/api/runs/{run}/curves" for run in some[-20:] * 5])
        await watch(folder, server, chosen)
        mix = ["/health", "/api/runs?limit=50", f"/api/runs/{runs[0]}", "/api/stages", "/api/me"]
        await at_rate(ask, mix, chosen.rate, chosen.seconds, process)
        print(f"memory: {process.memory_info().rss / 1e6:.0f} MB at the end")


async def report(name: str, ask: Callable[[str], Awaitable[None]], paths: list[str]) -> None:
    """Ask one after the other."""
    took: list[float] = []
    for path in paths:
        began = time.perf_counter()
        await ask(path)
        took.append(time.perf_counter() - began)
    print(f"{name}: {told(took)}", flush=True)


async def at_rate(
    ask: Callable[[str], Awaitable[None]], paths: list[str], rate: int, seconds: float, process: psutil.Process
) -> None:
    """Ask so many times a second, whether the answers come or not."""
    took: dict[str, list[float]] = {path: [] for path in paths}

    async def one(path: str) -> None:
        began = time.perf_counter()
        await ask(path)
        took[path].append(time.perf_counter() - began)

    ours, before, began = psutil.Process(), process.cpu_times(), time.perf_counter()
    ours_before = ours.cpu_times()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            group.create_task(one(paths[number % len(paths)]))
    passed = time.perf_counter() - began
    every = [one for some in took.values() for one in some]
    print(
        f"{len(every) / passed:.0f} requests a second (asked {rate}): {told(every)}; the server took "
        f"{busy(before, process.cpu_times()) / passed:.0%} of a core, who asked "
        f"{busy(ours_before, ours.cpu_times()) / passed:.0%}",
        flush=True,
    )
    for path, some in took.items():
        print(f"    {path}: {told(some)}", flush=True)


class CpuTimes(Protocol):
    """What psutil tells of a process, in seconds."""

    user: float
    system: float


def busy(before: CpuTimes, after: CpuTimes) -> float:
    """Seconds of processor time between two looks."""
    return after.user + after.system - before.user - before.system


def told(took: list[float]) -> str:
    """The middle and the slowest twentieth, in milliseconds."""
    ordered = sorted(took)
    return f"median {statistics.median(took) * 1000:.1f} ms, p95 {ordered[int(len(ordered) * 0.95)] * 1000:.1f} ms"


async def watch(folder: Path, server: Server, chosen: argparse.Namespace) -> None:
    """So many who watch ten runs that are at work in another process."""
    started = multiprocessing.get_context("spawn").Queue()
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(folder, chosen.seconds, started))
    worker.start()
    ids: list[str] = await asyncio.to_thread(started.get)
    received = [0] * chosen.watchers

    async def one(number: int) -> None:
        url = f"{server.address.replace('http', 'ws', 1)}/api/runs/{ids[number % len(ids)]}/watch"
        cookie = "; ".join(f"{name}={value}" for name, value in server.cookies.items())
        async with websockets.connect(url, additional_headers={"Cookie": cookie}, compression=None) as socket:
            async for message in socket:
                received[number] += len(json.loads(message).get("events", []))

    watchers = [asyncio.create_task(one(number)) for number in range(chosen.watchers)]
    await asyncio.sleep(2)
    before, began = server.process.cpu_times(), time.perf_counter()
    await asyncio.sleep(chosen.seconds - 5)
    used = busy(before, server.process.cpu_times()) / (time.perf_counter() - began)
    await asyncio.gather(*watchers)
    await asyncio.to_thread(worker.join)
    print(
        f"{chosen.watchers} watchers: {used:.1%} of a core; each got {min(received)} to {max(received)} events",
        flush=True,
    )


def work(folder: Path, seconds: float, started: multiprocessing.Queue[list[str]]) -> None:
    """Ten runs, ten events a second each."""
    workspace = Workspace(folder)
    runs = [workspace.runs.create("pretrain", name="watched", settings={}, inputs={}) for _ in range(10)]
    attempts = [workspace.runs.begin(run) for run in runs]
    started.put([run.id for run in runs])
    until, step = time.time() + seconds, 0
    while time.time() < until:
        for attempt in attempts:
            attempt.record("metrics", step=step, values={"loss": 1.0, "gradient_norm": 1.0})
        step += 1
        time.sleep(0.1)
    for attempt in attempts:
        attempt.end("finished", result={})


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
