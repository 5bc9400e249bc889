"""What a safe upload costs: the workshop beside a bare server that writes what comes to a file; and looking into it.

    python benchmarks/uploads.py [--megabytes 200] [--piece 16] [--rounds 5]

- upload: MB/s of a file in pieces over loopback, in turns; the peer is the same uvicorn with ten lines of Starlette
  that write each piece and sync it once, without offsets, locks, owners or quotas.
- inspection: MB/s of looking into JSON lines; the peer reads and parses the same lines with Python's json alone.
The client shares the cores with the servers: ratios travel, MB/s don't.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import httpx

from glassbox.data.inspection import inspect_file

WORKSHOP = """
import sys, uvicorn
from pathlib import Path
from glassbox.workshop.app import create_app
from glassbox.workshop.settings import WorkshopSettings
app = create_app(WorkshopSettings(workspace=Path(sys.argv[1])))
workshop = app.state.workshop
workshop.uploads._check = lambda upload: None  # looking into it is measured apart
print(workshop.sessions.open(workshop.users.local().id, "benchmark"), flush=True)
uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
"""

BARE = """
import os, sys, uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

async def take(request):
    with open(sys.argv[1] + "/bare", "ab") as file:
        async for piece in request.stream():
            await run_in_threadpool(file.write, piece)
        file.flush()
        await run_in_threadpool(os.fsync, file.fileno())
    return Response()

print("none", flush=True)
uvicorn.run(Starlette(routes=[Route("/", take, methods=["PATCH"])]), port=int(sys.argv[2]), log_level="error")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--piece", type=int, default=16, help="megabytes in a request")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    pieces = [os.urandom(chosen.piece * 10**6)] * (chosen.megabytes // chosen.piece)
    with tempfile.TemporaryDirectory() as name, server(WORKSHOP, name) as safe, server(BARE, name) as bare:
        uploads = {"workshop": lambda: upload(safe, pieces), "bare server": lambda: send(bare, pieces)}
        compare("upload", uploads, chosen.megabytes, chosen.rounds)
        rows = Path(name, "rows.jsonl")
        row = json.dumps({"text": "once upon a time there was a king, " * 20}) + "\n"
        rows.write_text(row * (chosen.megabytes * 10**6 // len(row)))
        readers = {"inspect_file": lambda: inspect_file(rows), "json alone": lambda: parse(rows)}
        compare("inspection", readers, chosen.megabytes, chosen.rounds)


def compare(what: str, ways: dict[str, Callable[[], object]], megabytes: int, rounds: int) -> None:
    """Each way in turns, with the median of its MB/s, and the ratio of the first to the second."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            rates[name].append(megabytes / (time.perf_counter() - began))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = statistics.median(own / peer for own, peer in zip(*rates.values(), strict=True))
    shown = ", ".join(f"{name} {median:.0f} MB/s" for name, median in medians.items())
    print(f"{what}: {shown}; ratio {ratio:.2f}", flush=True)


def upload(client: httpx.Client, pieces: list[bytes]) -> None:
    """As a tus client does, and away again."""
    length = {"Upload-Length": str(sum(map(len, pieces)))}
    place, offset = client.post("/api/uploads", headers=length).headers["Location"], 0
    for piece in pieces:
        headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        offset = int(client.patch(place, content=piece, headers=headers).headers["Upload-Offset"])
    client.delete(place).raise_for_status()


def send(client: httpx.Client, pieces: list[bytes]) -> None:
    """The same bytes to a server that only writes them."""
    for piece in pieces:
        client.patch("/", content=piece).raise_for_status()


def parse(rows: Path) -> int:
    """The least that anybody must do to see each text."""
    with rows.open("rb") as file:
        return sum(len(json.loads(line)["text"]) for line in file)


@contextlib.contextmanager
def server(code: str, folder: str) -> Generator[httpx.Client]:
    """A server process, and a client of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", code, folder, str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    cookies = {"glassbox_session": process.stdout.readline().decode().strip()}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies=cookies, timeout=120) as client:
        deadline = time.monotonic() + 30
        while True:
            try:
                client.get("/")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield client
    process.terminate()
    process.wait()


if __name__ == "__main__":
    main()
