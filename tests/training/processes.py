"""Call a function in several processes that have joined one another, and get what it returned in each.

    python tests/training/processes.py FOLDER < CALLS

The functions stand in `shared_training.py`. PyTorch is imported once; each process is a fork of this one, which never
computes anything itself. What a function returns is kept as JSON; BadInput is kept as its two sentences.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import shared_training
import torch

from glassbox.errors import BadInput
from glassbox.training.parallel import RENDEZVOUS_VARIABLE, joined


def call_in_processes(folder: Path, world_size: int, name: str) -> list[Any]:
    """Of each rank: what the function returned, {"problem", "remedy"} for BadInput, and the signal of one killed."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[RENDEZVOUS_VARIABLE] = f"file://{folder}/rendezvous"
    children = [_fork(folder, rank, world_size, name) for rank in range(world_size)]
    ends = [os.waitpid(child, 0)[1] for child in children]
    found: list[Any] = []
    for rank, status in enumerate(ends):
        if os.WIFSIGNALED(status):
            found.append({"signal": os.WTERMSIG(status)})
        elif status:
            raise RuntimeError(f"process {rank} of {name} ended with status {status}")
        else:
            found.append(json.loads((folder / f"{rank}.json").read_text()))
    return found


def _fork(folder: Path, rank: int, world_size: int, name: str) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        try:
            with joined(rank, world_size) as group:
                result = getattr(shared_training, name)(group, folder)
        except BadInput as error:
            result = {"problem": error.problem, "remedy": error.remedy}
        (folder / f"{rank}.json").write_text(json.dumps(result))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)  # never back into the program that this is a copy of


if __name__ == "__main__":
    torch.set_num_threads(1)  # more would be started by the first product, and wouldn't survive a fork
    calls = json.loads(sys.stdin.read())  # name of the call -> [world size, function]
    results = {
        call: call_in_processes(Path(sys.argv[1]) / call, world_size, function)
        for call, (world_size, function) in calls.items()
    }
    print(json.dumps(results))
