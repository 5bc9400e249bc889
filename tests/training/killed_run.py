"""Kill training again and again, resume it each time, and compare its end with that of an undisturbed run.

    python tests/training/killed_run.py FOLDER KILLS [SEED]

prints one JSON object. PyTorch is imported once; each attempt is a fork of this process, which never trains itself, so
that an attempt costs milliseconds. Half of the attempts are killed from outside at a random moment, the other half
kill themselves at a random point of writing a checkpoint: before or after any call that touches the disk, or within it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tiny import make_loop, make_step, write_shards

from glassbox.data.shards import Shards
from glassbox.training import checkpoints as module
from glassbox.training.loop import Plan

PLAN = Plan(steps=36, log_every=4, evaluate_every=6, checkpoint_every=3)
TOUCHING_THE_DISK = ("save_file", "sync", "write_file", "rename_folder", "_hash")


def train(shards: Shards, folder: Path) -> str:
    """One attempt, from the latest checkpoint to the end; the hash of the final weights."""
    step = make_step(dropout=0.2, micro_batch=3, clip=1.0, seed=5)
    loop = make_loop(shards, folder, plan=PLAN, step=step, patience=50)
    loop.run(loop.checkpoints.latest())
    digest = hashlib.sha256()
    for name, weight in loop.step.model.weights().items():
        digest.update(name.encode() + weight.contiguous().numpy().tobytes())
    return digest.hexdigest()


def attempt(shards: Shards, folder: Path, *, after: float | None = None, calls: int | None = None) -> str | None:
    """Fork and train; None if it was killed, `after` seconds or at so many `calls` that touch the disk."""
    result = folder.with_suffix(".result")
    child = os.fork()
    if child == 0:
        if calls is not None:
            die_in_a_write(calls)
        result.write_text(train(shards, folder))
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status:
        raise RuntimeError(f"an attempt in {folder} ended with status {status}")
    return result.read_text()


def die_in_a_write(calls: int) -> None:
    """From here on, the process kills itself at the given number of calls that touch the disk."""
    left = [calls]

    def deadly(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and name == "save_file":  # in the middle of a file
                call(*arguments)
                with Path(arguments[1]).open("r+b") as file:
                    file.truncate(file.seek(0, 2) // 2)
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return wrapped

    for name in TOUCHING_THE_DISK:
        setattr(module, name, deadly(getattr(module, name), name))


def main(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    torch.set_num_threads(1)  # more would be started by the first product, and wouldn't survive a fork
    dice = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    shards = write_shards(folder)
    start = time.monotonic()
    expected = attempt(shards, folder / "undisturbed")
    duration = time.monotonic() - start
    killed = {"at a random moment": 0, "while writing a checkpoint": 0}
    ends: list[str | None] = []
    while sum(killed.values()) < kills or ends[-1] is None:
        run = folder / f"run-{sum(end is not None for end in ends)}"
        if sum(killed.values()) >= kills:
            ends.append(attempt(shards, run))
        elif killed["at a random moment"] <= killed["while writing a checkpoint"]:
            ends.append(attempt(shards, run, after=dice.uniform(0, duration)))
            killed["at a random moment"] += ends[-1] is None
        else:
            ends.append(attempt(shards, run, calls=dice.randint(1, 60)))
            killed["while writing a checkpoint"] += ends[-1] is None
        if ends[-1] is not None:
            shutil.rmtree(run)
    finished = [end for end in ends if end is not None]
    return {
        "expected": expected,
        "ends": finished,
        "killed": killed,
        "attempts": len(ends),
        "seconds": round(time.monotonic() - start, 1),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)))
