""" "Train for three minutes" as a number of steps, and how often to evaluate, sample and save: decided once.

A schedule must know where it ends, and a resumed run must end where the first attempt would have. So a few steps are
measured before the first one, the numbers that follow are written down, and from then on only they count. A machine
that becomes faster or slower later makes the run shorter or longer than asked for, never different.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from glassbox.data.batches import Batches
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec
from glassbox.training.checkpoints import Checkpoint, Checkpoints
from glassbox.training.loop import Plan
from glassbox.training.parallel import ALONE, Group
from glassbox.training.schedules import Shape
from glassbox.training.step import TrainingStep
from glassbox.training.throughput import wait_for
from glassbox.training.validation import Validation
from glassbox.workspace.atomic import write_file

FEWEST_STEPS = 3  # measured, after one that warms caches up (and compiles)
EVALUATIONS = 20  # in a run, unless they would take more than a twentieth of its time
SAMPLES = 5
SECONDS_BETWEEN_CHECKPOINTS = 60.0
SECONDS_BETWEEN_LOSSES = 0.2
LOSSES = 50  # at least, on the curve of a short run


@dataclass(frozen=True)
class Pace:
    """Seconds that each thing takes on this machine."""

    step: float
    evaluation: float = 0.0
    full_validation: float = 0.0
    sample: float = 0.0
    checkpoint: float = 0.0

    def predict(self, plan: Plan) -> float:
        """Seconds of a whole run."""
        occasions = (
            (self.evaluation, plan.evaluate_every),
            (self.sample, plan.sample_every),
            (self.checkpoint, plan.checkpoint_every),
        )
        pauses = sum(seconds * math.ceil(plan.steps / every) for seconds, every in occasions if every)
        return plan.steps * self.step + pauses + self.full_validation


@dataclass(frozen=True)
class Choices:
    """What is trained, and how: by the recipe, or as a person chose instead. None leaves it to the optimiser."""

    spec: ModelSpec
    batch_size: int
    optimizer: str
    learning_rate: float | None
    schedule: Shape
    warmup: float
    decay: float
    weight_decay: float | None
    clip: float
    dropout: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"spec": self.spec.model_dump(mode="json", exclude_unset=True)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Choices:
        """Raises TypeError, KeyError or BadInput for what `as_json` didn't give."""
        return cls(**{**fields, "spec": ModelSpec.checked(fields["spec"])})


@dataclass(frozen=True)
class Decisions:
    """All that was settled before the first step, after some measuring, and that a resumed run must take as it is.

    processes: how many shared the work when it was measured. matmul_peak: of one of them.
    """

    choices: Choices
    device: str
    threads: int
    precision: str
    micro_batch: int
    plan: Plan
    pace: Pace
    matmul_peak: float
    processes: int = 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"choices": self.choices.as_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Decisions:
        """Raises TypeError, KeyError or BadInput for what `as_json` didn't give."""
        choices, plan, pace = Choices.from_json(fields["choices"]), Plan(**fields["plan"]), Pace(**fields["pace"])
        return cls(**{**fields, "choices": choices, "plan": plan, "pace": pace})

    def changed(self, chosen: Mapping[str, Any]) -> Decisions:
        """The same with what a person chose, by the fields' names; what isn't decided here is passed over."""
        plan = {name: value for name, value in chosen.items() if name in Plan.__dataclass_fields__}
        choices = {name: value for name, value in chosen.items() if name in Choices.__dataclass_fields__}
        return replace(self, plan=replace(self.plan, **plan), choices=replace(self.choices, **choices))

    def save(self, file: Path) -> None:
        """Raises OSError."""
        write_file(file, json.dumps(self.as_json(), indent=2).encode())

    @classmethod
    def load(cls, file: Path) -> Decisions:
        """Raises BadInput when the file is damaged."""
        try:
            return cls.from_json(json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, BadInput) as error:
            raise BadInput(
                f"{file}, which says how this run was planned, is damaged: {error}.",
                "Restore it from a backup, or start a new run.",
            ) from error


def decide(
    pace: Pace,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    evaluate_every: int | None = None,
    sample_every: int | None = None,
    checkpoint_every: int | None = None,
) -> Plan:
    """The plan for so many steps, or for what fits into so many seconds. Intervals: None chooses, 0 means never.

    Raises BadInput if not one step fits into the seconds.
    """
    whole = seconds if seconds is not None else (steps or 1) * pace.step
    cheap = math.floor(0.05 * whole / pace.evaluation) if pace.evaluation else EVALUATIONS
    wanted = (  # cost of one, interval if it was given, number of times if it wasn't
        (pace.evaluation, evaluate_every, min(EVALUATIONS, max(2, cheap))),
        (pace.sample, sample_every, SAMPLES if pace.sample * SAMPLES < 0.05 * whole else 1),
        (pace.checkpoint, checkpoint_every, max(1, round(whole / SECONDS_BETWEEN_CHECKPOINTS))),
    )
    if steps is None:
        assert seconds is not None, "either steps or seconds"
        once = pace.full_validation + sum(cost * (times if every is None else 1) for cost, every, times in wanted)
        per_step = pace.step + sum(cost / every for cost, every, _ in wanted if every)
        steps = math.floor((seconds - once) / per_step)
        if steps < 1:
            raise BadInput(
                f"Not one training step fits into the {max(0.0, seconds):.3g} seconds left: it takes {per_step:.3g} s, "
                f"and evaluations, samples and checkpoints {once:.3g} s.",
                "Give more time, or choose a smaller model, batch or context.",
            )
    total = steps  # settled from here on
    evaluate, sample, save = (math.ceil(total / times) if every is None else every for _, every, times in wanted)
    log_every = max(1, min(math.ceil(SECONDS_BETWEEN_LOSSES / pace.step), total // LOSSES))
    return Plan(total, log_every, evaluate, sample, save)


def measure(
    step: TrainingStep,
    batches: Batches,
    validation: Validation,
    sample: Callable[[], object],
    scratch: Path,
    seconds: float,
) -> Pace:
    """Train for about so many seconds, and evaluate, sample and save once, to see how long each takes.

    Weights and optimiser state are not what they were afterwards: begin anew. `scratch` is a folder for one checkpoint,
    which is deleted; a disk too small for checkpoints is found here, before an hour of training and not after it.

    Of several processes all train and evaluate; the leader saves and samples, and its figures are the ones that count.
    """
    device, group = step.device, step.group
    step.model.train()
    per_step = seconds_per_call(lambda number: step(number, batches.batch(number), 0.0), device, seconds, group)
    evaluation = timed(lambda: validation.sampled_loss(step.loss), device)
    return Pace(
        step=per_step,
        evaluation=evaluation,
        full_validation=evaluation * (validation.split.token_count - 1) / validation.sample_tokens,
        sample=timed(sample, device) if group.leads else 0.0,
        checkpoint=_seconds_to_save(step, scratch) if group.leads else 0.0,
    )


def _seconds_to_save(step: TrainingStep, scratch: Path) -> float:
    held = Checkpoint(0, {"weights": step.model.weights(), "optimizer": step.optimizer.named_state()})
    store = Checkpoints(scratch)
    try:
        return timed(lambda: store.save(held), step.device)
    finally:
        store.remove()


def seconds_per_call(
    call: Callable[[int], object], device: torch.device, seconds: float, group: Group = ALONE
) -> float:
    """The mean time of call(1), call(2), ... over about `seconds`, after call(0), which isn't counted.

    group: the processes that make these calls together, as often as the leader's clock says.
    """
    call(0)
    wait_for(device)
    start, calls = time.perf_counter(), 0
    while group.agreed(calls < FEWEST_STEPS or time.perf_counter() - start < seconds):
        calls += 1
        call(calls)
        wait_for(device)
    return (time.perf_counter() - start) / calls


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start
