"""What each of several processes does in the tests: every function takes its group and a folder, and returns JSON."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny import SPEC, Listener, make_loop, make_step, weights_of, write_shards

from glassbox.data.batches import Batch, Batches
from glassbox.data.shards import Shards
from glassbox.engines.interface import IGNORED
from glassbox.spec import Experts
from glassbox.training.loop import Loop, Plan
from glassbox.training.parallel import Group

PLAN = Plan(steps=12, log_every=2, evaluate_every=4, checkpoint_every=4)
PRECISE = torch.float64


class Gaps:
    """Batches of 8 windows in which some targets are nobody's: other ones, and other numbers of them, in each row."""

    batch_size, context = 8, SPEC.context

    def __init__(self, shards: Shards, group: Group) -> None:
        self.whole = Batches(shards.split("train"), self.batch_size, self.context, seed=1)
        self.rows = np.array_split(np.arange(self.batch_size), group.world_size)[group.rank]

    def batch(self, step: int) -> Batch:
        inputs, targets = self.whole.batch(step)
        dice = np.random.default_rng(step)
        ignored = dice.random(targets.shape) < dice.random((self.batch_size, 1)) ** 2
        ignored[0, 0] = False  # there is always one
        return Batch(inputs[self.rows], np.where(ignored, IGNORED, targets)[self.rows])


def shards_in(folder: Path, group: Group) -> Shards:
    own = folder / f"shards-{group.rank}"
    own.mkdir()
    return write_shards(own)


def told(loop: Loop) -> dict[str, Any]:
    """What came of a run: the losses and norms told, and the weights."""
    listener = loop.surroundings
    assert isinstance(listener, Listener)
    return {
        **{name: listener.series(name) for name in ("loss", "gradient_norm", "validation_loss", "expert_balance")},
        "weights": {name: weight.flatten().tolist() for name, weight in weights_of(loop).items()},
        "saved": loop.checkpoints.steps(),
    }


def trained(group: Group, folder: Path, **options: Any) -> dict[str, Any]:
    """Twelve steps on shares of batches with gaps."""
    listener = Listener(stop_after=options.pop("stop_after", None))
    plan = options.pop("plan", PLAN)
    checkpoints = options.pop("checkpoints", folder / "checkpoints")
    step = make_step(options.pop("spec", SPEC), group=group, **{"dtype": PRECISE, **options})
    shards = shards_in(folder, group)
    loop = make_loop(shards, checkpoints, plan=plan, step=step, listener=listener)
    loop.batches = Gaps(shards, group)  # pyright: ignore[reportAttributeAccessIssue]  (quacks like one)
    outcome = loop.run(loop.checkpoints.latest() if group.leads else None)
    return told(loop) | {"finished": outcome.finished, "steps": outcome.steps, "full_loss": outcome.validation_loss}


def plainly(group: Group, folder: Path) -> Any:
    return trained(group, folder)


def accumulating_and_clipping(group: Group, folder: Path) -> Any:
    return trained(group, folder, micro_batch=2, clip=0.3)


def with_muon(group: Group, folder: Path) -> Any:
    return trained(group, folder, optimizer="muon")


def in_single_precision(group: Group, folder: Path) -> Any:
    return trained(group, folder, dtype=torch.float32)


def with_experts(group: Group, folder: Path) -> Any:
    """On batches without gaps: the balance of experts is a mean over shares, which then weigh the same."""
    spec = SPEC.replace(experts=Experts(count=4, active=2, hidden_width=8, balance=0.1))
    micro_batch = 4  # a share of two processes
    step = make_step(spec, group=group, dtype=PRECISE, micro_batch=micro_batch)
    loop = make_loop(shards_in(folder, group), folder / "checkpoints", plan=PLAN, step=step, listener=Listener())
    loop.run()
    return told(loop)


def with_dropout(group: Group, folder: Path) -> Any:
    """The same windows in every process: only dropout's masks tell their losses apart."""
    silent = Group()  # which averages nothing, so that each process shows its own loss
    silent.rank = group.rank
    step = make_step(group=silent, dropout=0.5)
    batch = Batches(shards_in(folder, group).split("train"), 4, SPEC.context, seed=1).batch(0)
    return [step(number, batch, 0.0).loss.item() for number in range(3)]


def asked_to_stop(group: Group, folder: Path) -> Any:
    """Only the leader is asked, after the sixth step; then all go on."""
    stopped = trained(group, folder, stop_after=6 if group.leads else None, clip=0.3)
    again = folder / "again"
    again.mkdir(exist_ok=True)
    return {"stopped": stopped, "resumed": trained(group, again, clip=0.3, checkpoints=folder / "checkpoints")}


def first_leg(group: Group, folder: Path, stop_after: int | None = 4) -> Any:
    return trained(group, folder, stop_after=stop_after, checkpoints=folder.parent / "relay")


def second_leg(group: Group, folder: Path) -> Any:
    return first_leg(group, folder, stop_after=8)


def last_leg(group: Group, folder: Path) -> Any:
    return first_leg(group, folder, stop_after=None)


def with_a_share_of_nothing(group: Group, folder: Path) -> Any:
    """All targets are in the first window, so the second process has none."""
    shards = shards_in(folder, group)
    step = make_step(group=group, dtype=PRECISE, clip=0.3)
    inputs, targets = Batches(shards.split("train"), 2, SPEC.context, seed=1).batch(0)
    targets[1] = IGNORED
    rows = np.array_split(np.arange(2), group.world_size)[group.rank]
    losses = [step(number, Batch(inputs[rows], targets[rows]), 1e-2).loss.item() for number in range(3)]
    return {"loss": losses, "weights": {name: one.flatten().tolist() for name, one in step.model.weights().items()}}


def losing_one(group: Group, folder: Path) -> Any:
    """The last process is killed in the middle of its fifth step."""
    step = make_step(group=group)
    loop = make_loop(shards_in(folder, group), folder / "checkpoints", plan=PLAN, step=step)

    class Deadly(Batches):
        def batch(self, step: int) -> Batch:
            if step == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().batch(step)

    if group.rank == group.world_size - 1:
        loop.batches.__class__ = Deadly
    loop.run()


def gradients(group: Group, folder: Path) -> Any:
    """After one step on a share: the gradients of this share, and those that the weights were updated with."""
    shards = shards_in(folder, group)
    step, alone = make_step(group=group, dtype=PRECISE), make_step(dtype=PRECISE)
    batch = Gaps(shards, group).batch(0)
    step(0, batch, 0.0)
    alone(0, batch, 0.0)
    named = {"averaged": step.model.gradients(), "own": alone.model.gradients()}
    return {
        which: {name: gradient.flatten().tolist() for name, gradient in held.items()} for which, held in named.items()
    }


def drifting_apart(group: Group, folder: Path) -> Any:
    """One process's weights differ by the last bit of one number."""
    step = make_step(group=group)
    group.require_same(step.parameters)
    if group.rank == 1:
        with torch.no_grad():
            weight = step.parameters[0].view(-1)[3:4]
            weight.copy_(torch.nextafter(weight, torch.ones(1)))
    group.require_same(step.parameters)
    return "nothing was noticed"


def talking(group: Group, folder: Path) -> Any:
    """The leader's word counts, after waiting for it too."""
    if group.leads:
        time.sleep(0.2)
    mine = {"from": group.rank, "text": "Grüße", "nothing": None}
    return [
        group.agreed(group.leads),
        group.agreed(not group.leads),
        group.shared(mine),
        group.shared(None if group.leads else 1),
        group.total(torch.tensor([group.rank, 1.0])).tolist(),
    ]
