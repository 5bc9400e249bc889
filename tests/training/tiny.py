"""A tiny model, a tiny corpus, and a loop around them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glassbox.data.batches import Batches
from glassbox.data.shards import Shards
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import AdamW, Muon
from glassbox.spec import ModelSpec
from glassbox.training.checkpoints import Checkpoints
from glassbox.training.loop import Loop, Plan
from glassbox.training.step import TrainingStep
from glassbox.training.validation import Validation

TEXT = "the cat sat on the mat and the dog ate the cake that the cat had made for the man with the hat. "
ALPHABET = sorted(set(TEXT))
SPEC = ModelSpec(vocabulary_size=len(ALPHABET), context=16, width=16, layers=2, heads=2, qk_norm=True)


@dataclass
class Listener:
    """Surroundings that remember; asks to stop once `stop_after` steps have been told."""

    stop_after: int | None = None
    told: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def stop_requested(self) -> bool:
        return self.stop_after is not None and bool(self.told) and self.told[-1][0] >= self.stop_after

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None:
        assert total is None or done <= total

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        json.dumps(dict(values), allow_nan=False)
        self.told.append((step, dict(values)))

    def log(self, message: str) -> None:
        self.said.append(message)

    def series(self, name: str) -> list[tuple[int, float]]:
        return [(step, values[name]) for step, values in self.told if name in values]


def write_shards(folder: Path, vocabulary_size: int = len(ALPHABET), repeats: int = 40) -> Shards:
    """Characters as tokens: the training split the text many times, validation a part of it with its order turned."""
    ids = np.array([ALPHABET.index(character) for character in TEXT * repeats], "<u2")
    splits: dict[str, Any] = {}
    for name, tokens in (("train", ids), ("validation", np.concatenate([ids[50:350], ids[20:201]]))):
        tokens.tofile(folder / f"{name}-00000.bin")
        np.save(folder / f"{name}-documents.npy", np.zeros(1, np.int64))
        files = [f"{name}-00000.bin"]
        splits[name] = {"tokens": len(tokens), "documents": 1, "bytes": len(tokens), "files": files}
    description = {"vocabulary_size": vocabulary_size, "dtype": "uint16", "tokenizer": "letters:1"}
    (folder / "shards.json").write_text(json.dumps({**description, "end_of_text": None, "splits": splits}))
    return Shards(folder)


def make_step(
    spec: ModelSpec = SPEC, *, dtype: torch.dtype = torch.float32, optimizer: str = "adamw", **options: Any
) -> TrainingStep:
    """A step of a fresh model; `dropout` and `checkpointing` go to the model."""
    for_model = {name: options.pop(name) for name in ("dropout", "checkpointing") if name in options}
    model = Transformer(spec, seed=3, **for_model).to(dtype)
    chosen = {"adamw": AdamW, "muon": Muon}[optimizer](model)
    return TrainingStep(model, chosen, **{"micro_batch": 8, **options})


def make_loop(
    shards: Shards,
    folder: Path,
    *,
    plan: Plan,
    step: TrainingStep | None = None,
    listener: Listener | None = None,
    keep_last: int = 2,
    learning_rate: float = 1e-2,
    **options: Any,
) -> Loop:
    step = step or make_step()
    group = step.group
    return Loop(
        step,
        Batches(shards.split("train"), 8, SPEC.context, seed=1, rank=group.rank, world_size=group.world_size),
        lambda number: learning_rate * min(1, (number + 1) / 10),
        Validation(shards.split("validation"), SPEC.context, 8, 128, step.device, group),
        Checkpoints(folder, keep_last=keep_last, writes=group.leads),
        listener or Listener(),
        plan,
        **options,
    )


def weights_of(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in loop.step.model.weights().items()}


def assert_same_bits(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert torch.equal(weight, right[name]), f"{name} differs"
