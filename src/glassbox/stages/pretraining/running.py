"""From settings and inputs to a trained model: alone, or as one of several processes that share the work."""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import dataclass
from typing import Any

import torch

from glassbox.engines.tensors import save_model
from glassbox.stages.interface import Context
from glassbox.stages.pretraining.attempt import Pretraining
from glassbox.stages.pretraining.choosing import choose, device_named
from glassbox.stages.pretraining.inputs import Inputs
from glassbox.stages.pretraining.settings import MAY_DIFFER, Settings
from glassbox.training.loop import Outcome
from glassbox.training.parallel import Group
from glassbox.training.planning import Choices, Decisions
from glassbox.workspace.draft import Draft

DECISIONS_FILE = "decisions.json"


@dataclass(frozen=True)
class Trained:
    """What an attempt came to. result: of the stage; empty in a process that only shares the work of another."""

    training: Pretraining
    decisions: Decisions
    result: dict[str, Any]

    @property
    def is_finished(self) -> bool:
        return bool(self.result.get("finished"))

    def write(self, draft: Draft) -> None:
        """The model, its tokenizer, and the story of its training."""
        save_model(self.training.model, draft.folder)
        tokenizer = self.training.inputs.tokenizer_folder
        shutil.copytree(tokenizer, draft.folder / "tokenizer", ignore=lambda *_: ["manifest.json"])
        settings = self.training.settings.model_dump(mode="json")
        story = {"settings": settings, "decisions": self.decisions.as_json(), "result": self.result}
        (draft.folder / "training.json").write_text(json.dumps(story, indent=2) + "\n", encoding="utf-8")
        draft.describe(
            parameters=self.result["measured"]["parameters"],
            **{name: self.result[name] for name in ("steps", "validation_loss", "bits_per_byte")},
        )


def train(settings: Settings, context: Context, inputs: Inputs, group: Group, began: float) -> Trained:
    """One attempt, from where the last one came to. began: when it did, by `time.monotonic`, with all imports."""
    training, decisions = _planned(settings, context, inputs, group, began)
    checkpoint = training.checkpoint() if group.leads else None
    predicted = training.predict(decisions, done=0 if checkpoint is None else checkpoint.step)
    context.log(_sentence("Predicted", predicted))

    outcome = training.run(decisions, checkpoint)
    if not group.leads:
        return Trained(training, decisions, {})
    if not outcome.finished:
        context.log(f"Stopped after step {outcome.steps:,} of {decisions.plan.steps:,}; resume the run to go on.")
        return Trained(training, decisions, {"finished": False, "steps": outcome.steps})
    measured = {
        "parameters": sum(weight.numel() for weight in training.model.weights().values()),
        "memory_bytes": training.memory.bytes(),
        "seconds": time.monotonic() - began - context.paused_seconds,
    }
    context.log(_sentence("Measured", measured) + f" Before, {training.memory.before / 1e6:,.0f} MB were taken.")
    result = _result(outcome) | {"predicted": predicted, "measured": measured, "attempts": context.attempt}
    return Trained(training, decisions, result)


def _planned(
    settings: Settings, context: Context, inputs: Inputs, group: Group, began: float
) -> tuple[Pretraining, Decisions]:
    """What an earlier attempt decided, or what is decided now, by the leader for all processes."""
    decided = context.checkpoints / DECISIONS_FILE
    if group.agreed(decided.exists()):
        decisions = Decisions.load(decided).changed(settings.model_dump(include=set(MAY_DIFFER), exclude_none=True))
        device = device_named(decisions.device)
        if decisions.processes != group.world_size:
            context.log(
                f"{group.world_size} instead of {decisions.processes} processes: the time will not be as predicted, "
                "and the weights are the same up to rounding."
            )
        return Pretraining(settings, context, inputs, decisions.choices, device, group), decisions
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    device = device_named(settings.device)
    choices = choose(settings, inputs, device, group.world_size).as_json() if group.leads else None
    training = Pretraining(settings, context, inputs, Choices.from_json(group.shared(choices)), device, group)
    decisions = training.decide(began)
    if group.leads:
        decisions.save(decided)
    return training, decisions


def _sentence(beginning: str, values: dict[str, Any]) -> str:
    return (
        f"{beginning}: {values['parameters']:,} parameters, {values['memory_bytes'] / 1e6:,.0f} MB of memory, "
        f"{values['seconds']:,.1f} seconds."
    )


def _result(outcome: Outcome) -> dict[str, object]:
    return {
        "finished": True,
        "steps": outcome.steps,
        "stopped_early": outcome.stopped_early,
        "best_step": outcome.best_step,
        "validation_loss": outcome.validation_loss,
        "perplexity": math.exp(min(outcome.validation_loss, 700)),
        "bits_per_byte": outcome.bits_per_byte,
        "tokens_per_second": outcome.tokens_per_second,
    }
