"""Training in the guide's page beside microgpt.py: the same names, the same steps, one after the other.

    python benchmarks/guide.py [--steps 20] [--rounds 5] [--names FILE]

Each round trains both for some steps and compares their losses, which must be equal. The engine runs in Node, which has
Chromium's V8; it is taken out of guide/microgpt.html and goes through its first steps before the clock starts, as the
page has after a second. Ratios are medians over the rounds and travel between machines; times don't.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from glassbox import microgpt

ROOT = Path(__file__).resolve().parents[1]
RUNNER = ROOT / "tests" / "guide" / "run_in_node.mjs"
GUIDE = ROOT / "guide" / "microgpt.html"

TRAIN = """
const run = new Run(input);
const began = performance.now();
while (run.losses.length < run.steps) run.step();
return { seconds: (performance.now() - began) / 1000, losses: run.losses };
"""


class Page:
    """The page's engine, kept running so that V8 has compiled it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["node", RUNNER, GUIDE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def train(self, names: list[str], steps: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"program": TRAIN, "input": {"names": names, "steps": steps}}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["result"]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--names", default=Path(microgpt.__file__).parent / "data" / "sources" / "names.txt")
    chosen = arguments.parse_args()
    names = microgpt.read_names(chosen.names)
    page = Page()
    page.train(names, chosen.steps)
    ratios: list[float] = []
    for number in range(1, chosen.rounds + 1):
        began = time.perf_counter()
        python = microgpt.run(names, steps=chosen.steps, samples=0, report=lambda line: None)
        python_seconds = time.perf_counter() - began
        javascript = page.train(names, chosen.steps)
        difference = max(abs(a - b) for a, b in zip(python["losses"], javascript["losses"], strict=True))
        ratios.append(python_seconds / javascript["seconds"])
        print(
            f"round {number}: microgpt.py {1000 * python_seconds / chosen.steps:.1f} ms a step, "
            f"the guide {1000 * javascript['seconds'] / chosen.steps:.1f} ms, ratio {ratios[-1]:.1f}, "
            f"largest difference of a loss {difference:.1e}",
            flush=True,
        )
    page.close()
    print(f"the guide trains {statistics.median(ratios):.1f} times as fast as microgpt.py (median)")


if __name__ == "__main__":
    main()
