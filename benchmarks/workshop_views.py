"""How fast the views on what lies in a workspace are: a real server process, asked over loopback.

    python benchmarks/workshop_views.py [--artifacts 1000] [--rounds 30] [--megabytes 100]

- views: each once in every round, so that a busy minute hits all alike; beside each the ratio to /health, which is what
  a request costs that does nothing, and the processor time that the server takes for one request, which other work on
  the machine hardly changes. Aims: instantiating a preset under 100 ms, the data of a view under 20 ms.
- difference: POST /api/tensors/difference of two models of so many megabytes, beside NumPy on both files loaded whole.
The client is another process than the server, but shares its cores: what is shown is what a person would wait.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from safetensors.numpy import load_file, save_file
from workshop import server

from glassbox.spec import preset
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.workspace import Artifact, Workspace

TEXT = "It was the best of times, it was the worst of times; it was the age of lists and of the things in them. " * 10


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--artifacts", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--megabytes", type=int, default=100)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = fill(Path(folder), chosen.artifacts, chosen.megabytes)
        with (
            server(Path(folder)) as started,
            httpx.Client(base_url=started.address, cookies=started.cookies, timeout=120) as client,
        ):
            compare_views(client, started.process, made, chosen.rounds)
            compare_difference(client, made)


def fill(folder: Path, artifacts: int, megabytes: int) -> dict[str, Artifact]:
    """So many reports of a model, with all that it was made from, and a second model."""
    workspace = Workspace(folder)
    run = workspace.runs.create("pretrain", name="tales", settings={"steps": 100}, inputs={})
    corpus = publish(workspace, "corpus", {"text.txt": TEXT.encode()}, run=run.id)
    with workspace.artifacts.draft("tokenizer", "tales", parents=[corpus], run=run.id) as draft:
        train([TEXT * 3], 400).save(draft.folder)
    tokenizer = draft.artifact
    models: list[Artifact] = []
    random, side = np.random.default_rng(0), 1024
    for _ in range(2):
        with workspace.artifacts.draft("model", "tales", parents=[corpus, tokenizer], run=run.id) as draft:
            count = max(1, megabytes * 1_000_000 // (4 * side * side))
            matrices = {f"w{number}": random.normal(size=(side, side)).astype(np.float32) for number in range(count)}
            save_file(matrices, draft.folder / "model.safetensors")
            preset("microgpt").save(draft.folder / "spec.json")
            draft.describe(validation_loss=1.5)
        models.append(draft.artifact)
    for number in range(artifacts):
        publish(workspace, "report", {"report.json": b"{}"}, name=f"r{number % 50}", parents=[models[0]], run=run.id)
    return {"corpus": corpus, "tokenizer": tokenizer, "model": models[0], "other": models[1]}


def publish(workspace: Workspace, kind: Any, files: dict[str, bytes], *, name: str = "tales", **more: Any) -> Artifact:
    with workspace.artifacts.draft(kind, name, **more) as draft:
        for path, content in files.items():
            (draft.folder / path).write_bytes(content)
    return draft.artifact


def compare_views(client: httpx.Client, process: psutil.Process, made: dict[str, Artifact], rounds: int) -> None:
    model, tokenizer = made["model"].id, made["tokenizer"].id
    gpt2, fields = {"preset": "gpt2-small"}, preset("gpt2-small").model_dump(mode="json")
    sources = {"artifact": model}

    def get(path: str, **query: Any) -> Callable[[], httpx.Response]:
        return lambda: client.get(path, params=query)

    def post(path: str, body: Any) -> Callable[[], httpx.Response]:
        return lambda: client.post(path, json=body)

    views: dict[str, Callable[[], httpx.Response]] = {
        "/health": get("/health"),
        "presets": get("/api/presets"),
        "instantiate gpt2-small": post("/api/specs/count", {"model": gpt2}),
        "instantiate llama3-70b": post("/api/specs/count", {"model": {"preset": "llama3-70b"}}),
        "check a description": post("/api/specs/validate", {"fields": fields}),
        "compare four models": post(
            "/api/specs/compare",
            {"models": {name: {"preset": name} for name in ("gpt2-small", "gpt2-xl", "llama2-7b", "bert-base")}},
        ),
        "table of weights": post("/api/specs/weights", gpt2),
        "picture of parameters": post("/api/specs/picture", {"models": {"GPT-2": gpt2}}),
        "list of artifacts": get("/api/artifacts"),
        "artifacts with a text": get("/api/artifacts", text="r7"),
        "one artifact": get(f"/api/artifacts/{model}"),
        "lineage, cut at 500": get(f"/api/artifacts/{model}/lineage"),
        "lineage of a few": get(f"/api/artifacts/{made['other'].id}/lineage"),
        "card": get(f"/api/artifacts/{model}/card"),
        "list of tensors": get("/api/tensors", **sources),
        "statistics of a tensor": get("/api/tensors/statistics", **sources, name="w0"),
        "encode 1 kB": post(f"/api/tokenizers/{tokenizer}/encode", {"texts": [TEXT]}),
        "inspect 1 kB": post(f"/api/tokenizers/{tokenizer}/inspect", {"text": TEXT}),
        "merges of a sentence": post(f"/api/tokenizers/{tokenizer}/inspect", {"text": TEXT[:100], "merges": True}),
        "source of attention": get("/api/engines/code/attention"),
        "the machine now": get("/api/resources"),
        "the machine's last hour": get("/api/resources/history", seconds=3600),
    }
    took: dict[str, list[float]] = {name: [] for name in views}
    for number in range(rounds + 1):
        for name, ask in views.items():
            began = time.perf_counter()
            answer = ask()
            if number:  # the first round imports and loads
                took[name].append(time.perf_counter() - began)
            assert answer.status_code == 200, f"{name}: {answer.text[:300]}"
    costs = {name: processor_time(process, ask, rounds) for name, ask in views.items()}
    floor = statistics.median(took["/health"])
    print(f"{'view':26} {'median':>9} {'p95':>9}  times /health  server's processor time")
    for name, times in took.items():
        times.sort()
        middle, slow = statistics.median(times), times[int(0.95 * len(times))]
        waited = f"{1000 * middle:6.1f} ms {1000 * slow:6.1f} ms  {middle / floor:13.1f}"
        print(f"{name:26} {waited} {1000 * costs[name]:20.1f} ms")


def processor_time(process: psutil.Process, ask: Callable[[], object], times: int) -> float:
    """Seconds of one request, all of the server's threads together."""
    before = process.cpu_times()
    for _ in range(times):
        ask()
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / times


def compare_difference(client: httpx.Client, made: dict[str, Artifact], rounds: int = 3) -> None:
    pair = {"first": {"artifact": made["model"].id}, "second": {"artifact": made["other"].id}}
    paths = [made[name].folder / "model.safetensors" for name in ("model", "other")]
    ours: list[float] = []
    whole: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        told = client.post("/api/tensors/difference", json=pair).raise_for_status().json()
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = differences_in_memory(*paths)
        whole.append(time.perf_counter() - began)
        for one in told["tensors"]:
            assert np.allclose([one["norm"], one["cosine"], one["largest"]], found[one["name"]])
    size = sum(path.stat().st_size for path in paths) / 1e6
    print(
        f"difference of {size:,.0f} MB: {min(ours):.2f} s over HTTP in pieces, {min(whole):.2f} s by NumPy on whole "
        f"files in memory: {min(ours) / min(whole):.2f} times as long"
    )


def differences_in_memory(first: Path, second: Path) -> dict[str, tuple[float, float, float]]:
    """Norm, cosine and largest change of each tensor, in float64."""
    before, after = load_file(first), load_file(second)
    found: dict[str, tuple[float, float, float]] = {}
    for name in before:
        x, y = before[name].astype(np.float64).ravel(), after[name].astype(np.float64).ravel()
        apart = y - x
        cosine = float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
        found[name] = (float(np.linalg.norm(apart)), cosine, float(np.abs(apart).max()))
    return found


if __name__ == "__main__":
    main()
