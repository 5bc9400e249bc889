"""How fast and how well the digit task is learned.

    python benchmarks/digits.py                      # both tasks, five seeds each, medium, arrays
    python benchmarks/digits.py --engine tensors --seeds 0 1 --task one-digit

For each seed: seconds of training, accuracy of each operation on expressions that the model has never seen, and how
spread its attention is in each (0 focused, 1 distributed; `glassbox.evaluation.digits` says how that is measured). Ends
with exit code 1 if a promise is broken: every operation at least 99 % in the task one-digit, all together at least 95 %
in the task two-digit. Times are shown and never judged, since machines differ.
"""

from __future__ import annotations

import argparse
import sys
import time

from glassbox.evaluation.digits import accuracy_by_operation, entropy_by_operation
from glassbox.stages.train_digits import Settings, prepare

OPERATIONS = ("First", "Second", "Last", "Max", "Min")
PROMISED = {"one-digit": 0.99, "two-digit": 0.95}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=[*PROMISED], nargs="+", default=[*PROMISED])
    parser.add_argument("--size", default="medium")
    parser.add_argument("--engine", default="arrays")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    kept = True
    for task in arguments.task:
        print(f"{task}, {arguments.size}, {arguments.engine}")
        print("seed  seconds  " + "".join(f"{name:>8}" for name in OPERATIONS) + "     all   attention's entropy")
        for seed in arguments.seeds:
            settings = Settings.model_validate(
                {"task": task, "size": arguments.size, "engine": arguments.engine, "epochs": arguments.epochs}
                | {"seed": seed}
            )
            kept &= one(settings)
    return 0 if kept else 1


def one(settings: Settings) -> bool:
    """Train with one seed and print its line. Was the promise kept?"""
    training, split = prepare(settings)
    began = time.perf_counter()
    for _ in training.steps():
        pass
    seconds = time.perf_counter() - began
    accuracy = accuracy_by_operation(training.model, split.test)
    entropy = entropy_by_operation(training.model, split.test)
    together = sum(accuracy[example.operation] for example in split.test) / len(split.test)
    shares = "".join(f"{100 * accuracy[name]:>8.2f}" for name in OPERATIONS)
    spread = " ".join(f"{entropy[name]:.2f}" for name in OPERATIONS)
    apart = min(entropy["Max"], entropy["Min"]) > max(entropy[name] for name in ("First", "Second", "Last"))
    print(
        f"{settings.seed:>4}  {seconds:>7.1f}  {shares}{100 * together:>8.2f}   {spread}   "
        f"{'apart' if apart else 'not apart'}",
        flush=True,
    )
    return (min(accuracy.values()) if settings.task == "one-digit" else together) >= PROMISED[settings.task]


if __name__ == "__main__":
    sys.exit(main())
