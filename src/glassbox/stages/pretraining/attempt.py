"""One attempt at pretraining: the model and what trains it, in one process or as one of several that share the work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from glassbox.data.batches import Batches
from glassbox.engines.initialization import initial_weights
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import OPTIMIZERS, Optimizer
from glassbox.errors import BadInput
from glassbox.generation import Decoder, Decoding
from glassbox.spec import count_flops, count_memory, count_parameters
from glassbox.stages.interface import Context
from glassbox.stages.pretraining.inputs import Inputs
from glassbox.stages.pretraining.settings import DEFAULT_SECONDS, MAY_DIFFER, Settings
from glassbox.training.batch_size import find_batch_size, memory_limit, trial
from glassbox.training.checkpoints import Checkpoint, Checkpoints
from glassbox.training.loop import Loop, Outcome
from glassbox.training.memory import PeakMemory, rehearse
from glassbox.training.parallel import ALONE, Group
from glassbox.training.planning import Choices, Decisions, decide, measure, timed
from glassbox.training.precision import CANDIDATES, FORMATS, fastest_precision
from glassbox.training.schedules import Schedule
from glassbox.training.step import TrainingStep
from glassbox.training.throughput import matmul_peak
from glassbox.training.validation import Validation

SHARE_MEASURED = 0.03  # of the time that a run is given, to find out how many steps that is; at most:
LONGEST_MEASURED = 5.0  # seconds


class Pretraining:
    """One attempt at the run: the model, and what trains it."""

    def __init__(
        self,
        settings: Settings,
        context: Context,
        inputs: Inputs,
        choices: Choices,
        device: torch.device,
        group: Group,
    ) -> None:
        self.settings, self.context, self.inputs, self.choices = settings, context, inputs, choices
        self.spec, self.device, self.group = choices.spec, device, group
        train, held_out = inputs.shards.split("train"), inputs.shards.split("validation")
        self.batches = Batches(
            train,
            choices.batch_size,
            self.spec.context,
            settings.seed,
            rank=group.rank,
            world_size=group.world_size,
        )
        rows = min(choices.batch_size, settings.micro_batch or choices.batch_size)
        self.validation = Validation(held_out, self.spec.context, rows, settings.evaluation_tokens, device, group)
        kept = settings.keep_checkpoints or 2
        self.checkpoints = Checkpoints(context.checkpoints, keep_last=kept, report=context.log, writes=group.leads)
        rehearse(device)
        self.memory = PeakMemory(device)
        checkpointing = settings.gradient_checkpointing
        model = Transformer(self.spec, settings.seed, dropout=choices.dropout, checkpointing=checkpointing)
        self.model = model.to(device)

    def checkpoint(self) -> Checkpoint | None:
        """Where to go on from."""
        asked = self.context.from_checkpoint
        return self.checkpoints.latest() if asked is None else self.checkpoints.back_to(asked)

    def decide(self, began: float) -> Decisions:
        """Measure this machine a little, and settle all that follows from it: as the leader finds, for all."""
        settings = self.settings
        self.context.progress(0, None, note="measuring this machine")
        seconds = settings.seconds if settings.seconds or settings.steps else DEFAULT_SECONDS
        precision = self.group.shared(self._precision() if self.group.leads else None)
        micro_batch = self.group.shared(self._micro_batch(precision) if self.group.leads else None)
        pace = measure(
            self._step(self._optimizer(), precision, micro_batch, self.group),
            self.batches,
            self.validation,
            self._sample,
            self.context.checkpoints / "measuring",
            min(LONGEST_MEASURED, SHARE_MEASURED * (seconds or LONGEST_MEASURED)),
        )
        peak = matmul_peak(self.device, FORMATS[precision])
        self.model.load_weights(initial_weights(self.spec, settings.seed))
        if not self.group.leads:
            return Decisions.from_json(self.group.shared(None))
        plan = decide(
            pace,
            steps=settings.steps,
            seconds=None if seconds is None else seconds - (time.monotonic() - began),
            evaluate_every=settings.evaluate_every,
            sample_every=settings.sample_every,
            checkpoint_every=settings.checkpoint_every,
        )
        decisions = Decisions(
            self.choices,
            self.device.type,
            torch.get_num_threads(),
            precision,
            micro_batch,
            plan,
            pace,
            peak,
            self.group.world_size,
        )
        self.group.shared(decisions.as_json())
        return decisions

    def predict(self, decisions: Decisions, *, done: int) -> dict[str, float]:
        """Parameters, bytes of this process, and seconds that are left after `done` steps: by description and pace."""
        number_format = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[decisions.precision]
        share = math.ceil(self.choices.batch_size / self.group.world_size)
        memory = count_memory(
            self.spec,
            batch=min(decisions.micro_batch, share),
            optimizer="momentum" if self.choices.optimizer == "sgd" else self.choices.optimizer,  # pyright: ignore[reportArgumentType]  (a Literal there)
            activations_in=number_format,  # pyright: ignore[reportArgumentType]  (a Literal there)
            gradient_checkpointing=self.settings.gradient_checkpointing,
            accumulates=decisions.micro_batch < share,
        )
        return {
            "parameters": count_parameters(self.spec).total,
            "memory_bytes": memory.process if self.device.type == "cpu" else memory.training,
            "seconds": decisions.pace.predict(decisions.plan) * (1 - done / decisions.plan.steps),
        }

    def run(self, decisions: Decisions, checkpoint: Checkpoint | None) -> Outcome:
        """From the checkpoint, or from the beginning, to the end of the plan."""
        torch.set_num_threads(decisions.threads)  # other sums round otherwise, and the bits would differ
        self.memory.forget_peak()  # what measuring took isn't what training takes
        step = self._step(self._optimizer(), decisions.precision, decisions.micro_batch, self.group)
        loop = Loop(
            step,
            self.batches,
            self._learning_rate(step.optimizer, decisions.plan.steps),
            self.validation,
            self.checkpoints,
            self.context,
            decisions.plan,
            patience=self.settings.patience,
            identity=self._identity(decisions),
            flops_per_token=count_flops(self.spec).training,
            matmul_peak=decisions.matmul_peak * self.group.world_size,
            sample=self._tell_sample,
        )
        return loop.run(checkpoint)

    def _identity(self, decisions: Decisions) -> dict[str, object]:
        """What a checkpoint must have in common with the run that goes on from it."""
        decided = {name: getattr(decisions, name) for name in ("threads", "precision", "micro_batch")}
        return {
            **self.settings.model_dump(mode="json", exclude={*MAY_DIFFER, "seconds"}),
            **self.inputs.identity,
            "decided": decided,
        }

    def _step(
        self,
        optimizer: Optimizer,
        precision: str,
        micro_batch: int,
        group: Group | None = None,
        *,
        compiled: bool | None = None,
    ) -> TrainingStep:
        """group: the processes that make it together; None is this one alone, to measure something."""
        return TrainingStep(
            self.model,
            optimizer,
            micro_batch=micro_batch,
            clip=self.choices.clip,
            precision=precision,
            seed=self.settings.seed,
            compiled=self.settings.compile if compiled is None else compiled,
            group=group or ALONE,
        )

    def _optimizer(self) -> Optimizer:
        choices, options = self.choices, {}
        if choices.learning_rate is not None:
            options["learning_rate"] = choices.learning_rate
        if choices.weight_decay is not None:
            if choices.optimizer not in ("muon", "adamw"):
                raise BadInput(f"{choices.optimizer} has no weight decay.", "Leave it out, or choose muon or adamw.")
            options["weight_decay"] = choices.weight_decay
        return OPTIMIZERS[choices.optimizer](self.model, **options)

    def _learning_rate(self, optimizer: Optimizer, steps: int) -> Callable[[int], float]:
        group, choices = optimizer.param_groups[0], self.choices
        height = group["lr"] / group["lr_factor"]
        return Schedule(choices.schedule, steps, height, warmup=int(choices.warmup * steps), decay=choices.decay)

    def _micro_batch(self, precision: str) -> int:
        settings, batch_size = self.settings, self.choices.batch_size
        if settings.micro_batch != 0:
            return min(settings.micro_batch or batch_size, batch_size)
        finding = find_batch_size(
            trial(
                lambda size: self._step(self._optimizer(), precision, size),
                self.inputs.shards.split("train"),
                self.spec.context,
                self.device,
            ),
            memory_limit=memory_limit(self.device, settings.memory_share),
            largest=batch_size,
        )
        self.context.log(f"{finding.batch_size:,} windows at once: {finding.reason}.")
        return finding.batch_size

    def _precision(self) -> str:
        """As it was given, or what makes the faster step."""
        if self.settings.precision != "auto":
            return self.settings.precision
        optimizer, rows, batch = self._optimizer(), self.validation.batch_size, self.batches.batch(0)
        steps = {name: self._step(optimizer, name, rows, compiled=False) for name in CANDIDATES}
        return fastest_precision(lambda name: timed(lambda: steps[name](0, batch, 0.0), self.device))

    def _sample(self) -> str:
        """How the model goes on from the end of a document: the same words for the same weights."""
        prompt = [self.inputs.shards.end_of_text or 0]
        chosen = Decoder(self.model).tokens([prompt], Decoding(self.settings.sample_tokens, seed=self.settings.seed))
        return self.inputs.tokenizer.decode(step.ids[0] for step in chosen)

    def _tell_sample(self, done: int) -> None:
        self.context.text(f"sample after {done:,} steps", self._sample())
