"""One engine training one model, measured in a process of its own, so that nobody else's memory is counted.

    python -m glassbox.evaluation.engines.trial < trial.json

Reads a `Trial` and writes what was measured, one JSON object each; `measured_apart` does both.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from glassbox.engines import memory
from glassbox.engines.catalogue import engine
from glassbox.engines.interface import Transformer
from glassbox.errors import BadInput
from glassbox.evaluation.engines.batches import batch, engine_batch
from glassbox.evaluation.engines.phases import Phases, summary, timed_step
from glassbox.spec import ModelSpec, preset

LEARNING_RATE = 1e-3
WARM_UP = 2  # first steps whose times don't count: libraries begin
LEAST = 3  # steps of which the times count
MOST = 20_000
SAMPLES = 200  # of the memory, over all steps
STARTING = 60.0  # seconds that a process may take besides


@dataclass(frozen=True)
class Trial:
    """Train for `seconds`, at least a few steps; then measure steps of other batches for as long again.

    The engines compute in their own precision: float64 in scalars and lists, float32 in arrays and tensors.
    """

    engine: str
    model: dict[str, Any]
    rows: int
    length: int
    seed: int
    threads: int
    seconds: float
    more_rows: tuple[int, ...] = ()
    device: str = "cpu"


def measured_apart(trial: Trial) -> dict[str, Any] | str:
    """What `measure` gives, from a process of its own; or a sentence that says why it gives nothing."""
    limit = 3 * trial.seconds + STARTING
    command = [sys.executable, "-m", __name__]
    try:
        ended = subprocess.run(
            command,
            input=json.dumps(asdict(trial)),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            env=os.environ | {f"{library}_NUM_THREADS": str(trial.threads) for library in ("OMP", "MKL", "OPENBLAS")},
            start_new_session=True,  # Ctrl-C asks the parent, which lets this trial end
        )
    except subprocess.TimeoutExpired:
        return f"It took longer than {limit:.0f} seconds, though {trial.seconds:.1f} were given."
    if ended.returncode:
        last = (ended.stderr.strip() or f"its process ended with {ended.returncode}").splitlines()[-1]
        return f"It failed: {last.rstrip('.')}."
    return json.loads(ended.stdout)


def measure(trial: Trial) -> dict[str, Any]:
    """Times, memory and losses. Raises BadInput for a model that the engine doesn't build."""
    spec = ModelSpec.checked(trial.model)
    _rehearse(trial)
    memory.give_back()
    gc.freeze()
    memory.forget_peak()
    device = _Device(trial.device)
    before = memory.resident()
    learner = _Learner(trial, spec, device)
    times, losses, held = learner.train(trial.rows, trial.seconds)
    measured = {
        "seconds": summary(times),
        "tokens_per_second": trial.rows * trial.length / statistics.median(phases.step for phases in times),
        "peak_bytes": device.peak() or max(0, memory.peak() - before),
        "held_bytes": [max(0, count - before) for count in held],
        "losses": losses,
        "by_rows": {},
    }
    for rows in trial.more_rows:
        expected = statistics.median(phases.step for phases in times) * rows / trial.rows
        if expected * (WARM_UP + LEAST) <= trial.seconds:
            more = learner.train(rows, trial.seconds / len(trial.more_rows))[0]
            measured["by_rows"][rows] = summary(more)["step"]
    return measured


class _Learner:
    """A model that is trained on, batch after batch."""

    def __init__(self, trial: Trial, spec: ModelSpec, device: _Device) -> None:
        chosen = engine(trial.engine)
        built = _shared(trial, spec) if trial.engine == "arrays" else chosen.transformer(spec, trial.seed)
        self.model: Transformer = device.moved(built)
        self.optimizer = chosen.optimizer("adam", self.model, LEARNING_RATE)
        self.trial, self.device = trial, device

    def train(self, rows: int, seconds: float) -> tuple[list[Phases], list[float], list[int]]:
        """The times of the steps after the first ones, the losses of all, and the memory held now and then."""
        times: list[Phases] = []
        losses: list[float] = []
        held: list[int] = []
        began = time.perf_counter()
        while len(losses) < WARM_UP + LEAST or (time.perf_counter() - began < seconds and len(losses) < MOST):
            drawn = batch(self.model.spec, rows, self.trial.length, self.trial.seed, len(losses))
            tokens, targets = engine_batch(self.model, drawn)
            _, loss, phases = timed_step(self.model, tokens, targets, self.optimizer, self.device.finish)
            times.append(phases)
            losses.append(loss)
            if len(losses) < SAMPLES or len(losses) % (MOST // SAMPLES) == 0:
                held.append(self.device.held())
        return times[WARM_UP:], losses, held


class _Device:
    """Where PyTorch computes; every other engine is on the processor."""

    def __init__(self, name: str) -> None:
        self.finish: Callable[[], None] = lambda: None
        self.name = name
        if name != "cpu":
            import torch

            self.finish = torch.cuda.synchronize

    def moved(self, model: Any) -> Any:
        return model if self.name == "cpu" else model.to(self.name)

    def held(self) -> int:
        if self.name == "cpu":
            return memory.resident()
        import torch

        return torch.cuda.memory_allocated()

    def peak(self) -> int:
        """Of the device's own memory; 0 where that is the process's."""
        if self.name == "cpu":
            return 0
        import torch

        return torch.cuda.max_memory_allocated()


def _shared(trial: Trial, spec: ModelSpec) -> Transformer:
    """The one engine that shares a batch among threads of its own."""
    from glassbox.engines import arrays

    return arrays.Transformer(spec, trial.seed, threads=trial.threads)


def _rehearse(trial: Trial) -> None:
    """A step of a small model: libraries are loaded and set buffers aside, which isn't the model's doing."""
    _Learner(trial, preset("microgpt"), _Device("cpu")).train(1, 0)


def main() -> None:
    try:
        print(json.dumps(measure(Trial(**json.load(sys.stdin)))))
    except BadInput as error:
        sys.exit(error.problem)
    except MemoryError:
        sys.exit("There was not enough memory.")


if __name__ == "__main__":
    main()
