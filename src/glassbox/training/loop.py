"""The training loop, from the first step to the last.

Everything random in it is a function of (seed, step): the batch, dropout's masks. So what a checkpoint holds (weights,
optimiser state, step, and how early stopping stands) is all there is, and a run that was killed at any moment ends
with the same bits as one that wasn't. Several processes that share each batch (`parallel.py`) run the same loop; the
leader saves, samples, and is asked whether to stop.

Reading a loss makes the program wait for the device, so losses are read in windows of `log_every` steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from glassbox.data.batches import Batches
from glassbox.errors import BadInput
from glassbox.training.checkpoints import Checkpoint, Checkpoints
from glassbox.training.early_stopping import EarlyStopping
from glassbox.training.memory import memory_in_use
from glassbox.training.step import StepResult, TrainingStep
from glassbox.training.validation import Validation


class Surroundings(Protocol):
    """What the loop tells, and the one thing that it asks."""

    @property
    def stop_requested(self) -> bool: ...
    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None: ...
    def metrics(self, step: int, values: Mapping[str, float]) -> None: ...
    def log(self, message: str) -> None: ...


@dataclass(frozen=True)
class Plan:
    """How many steps, and what happens after every so many of them (0: never)."""

    steps: int
    log_every: int = 10
    evaluate_every: int = 0
    sample_every: int = 0
    checkpoint_every: int = 0


@dataclass(frozen=True)
class Outcome:
    """finished: False when somebody asked to stop; then a checkpoint holds everything, and the losses are missing."""

    finished: bool
    steps: int
    seconds: float
    tokens_per_second: float
    validation_loss: float = math.nan
    bits_per_byte: float = math.nan
    best_step: int | None = None
    stopped_early: bool = False


class Loop:
    """One run of training.

    learning_rate: step -> learning rate. identity: what must not differ between a checkpoint and the run that resumes
    from it, as JSON. flops_per_token and matmul_peak (FLOP/s) give the model FLOPs utilisation; without them it isn't
    told. sample: called with the number of steps done, for its effect.
    """

    def __init__(
        self,
        step: TrainingStep,
        batches: Batches,
        learning_rate: Callable[[int], float],
        validation: Validation,
        checkpoints: Checkpoints,
        surroundings: Surroundings,
        plan: Plan,
        *,
        patience: int = 0,
        identity: Mapping[str, Any] | None = None,
        flops_per_token: float = 0.0,
        matmul_peak: float = 0.0,
        sample: Callable[[int], None] = lambda done: None,
    ) -> None:
        self.step, self.batches, self.learning_rate = step, batches, learning_rate
        self.validation, self.checkpoints, self.surroundings, self.plan = validation, checkpoints, surroundings, plan
        self.early_stopping = EarlyStopping(patience)
        self.identity = dict(identity or {})
        self.flops_per_token, self.matmul_peak = flops_per_token, matmul_peak
        self.sample = sample
        self.group = step.group
        self.tokens_per_step = batches.batch_size * batches.context
        self._window: list[StepResult] = []
        self._training_seconds = 0.0
        self._first_step = 0

    def run(self, resume_from: Checkpoint | None = None) -> Outcome:
        """Train to the end of the plan, to early stopping, or until asked to stop.

        Raises BadInput when the loss stops being a number, when the disk is full, and when `resume_from` belongs to
        another run; the last good checkpoint stays as it is. Of several processes, what the leader resumes from counts.
        """
        done = self._first_step = self._begin(resume_from)
        self.step.model.train()
        self._open_window()
        while done < self.plan.steps and not self.early_stopping.exhausted:
            if self._stop_requested():
                self._close_window(done)
                self._save(done, None)
                return self._outcome(done, finished=False)
            self._window.append(self.step(done, self.batches.batch(done), self.learning_rate(done)))
            done += 1
            if done % self.plan.log_every == 0 or self._pauses_after(done):
                self._close_window(done)
                if self._pauses_after(done):
                    self._pause(done)
                self._open_window()
        return self._finish(done)

    def _stop_requested(self) -> bool:
        """What all processes take for the answer; the time until it comes (a pause, perhaps) isn't training's."""
        asked = time.perf_counter()
        answer = self.group.agreed(self.surroundings.stop_requested)
        self._opened += time.perf_counter() - asked
        return answer

    def _pauses_after(self, done: int) -> bool:
        """Is there something to do after this step that isn't training?"""
        plan = self.plan
        return done == plan.steps or any(
            every and done % every == 0 for every in (plan.evaluate_every, plan.sample_every, plan.checkpoint_every)
        )

    def _pause(self, done: int) -> None:
        """Evaluate, write a sample, save, whichever is due. Saving comes last: it holds what came of the rest."""
        last, plan = done == self.plan.steps, self.plan
        validation_loss = None
        if plan.evaluate_every and (last or done % plan.evaluate_every == 0):
            validation_loss = self._evaluate(done)
        if self.group.leads and plan.sample_every and (last or done % plan.sample_every == 0):
            self.sample(done)
        if plan.checkpoint_every and (last or done % plan.checkpoint_every == 0 or self.early_stopping.exhausted):
            self._save(done, validation_loss)

    def _evaluate(self, done: int) -> float:
        loss = self.validation.sampled_loss(self.step.loss)
        if not math.isfinite(loss):
            raise self._diverged(done, f"the validation loss is {loss}")
        self.early_stopping.observe(done, loss, self.step.model.weights())
        self.surroundings.metrics(
            done,
            {
                "validation_loss": loss,
                "perplexity": math.exp(min(loss, 700)),
                "bits_per_byte": self.validation.bits_per_byte(loss),
            },
        )
        return loss

    def _finish(self, done: int) -> Outcome:
        """Put the best weights back, if early stopping watched, and measure on everything held out."""
        best = self.early_stopping.best_weights
        if best and self.early_stopping.best_step != done:
            self.step.model.load_weights(best)
            self.surroundings.log(
                f"The weights of step {self.early_stopping.best_step:,} are the best on held-out text, and are kept."
            )
        return self._outcome(done, finished=True, loss=self.validation.full_loss(self.step.loss))

    def _outcome(self, done: int, *, finished: bool, loss: float = math.nan) -> Outcome:
        trained = done - self._first_step
        return Outcome(
            finished=finished,
            steps=done,
            seconds=self._training_seconds,
            tokens_per_second=trained * self.tokens_per_step / self._training_seconds if trained else 0.0,
            validation_loss=loss,
            bits_per_byte=self.validation.bits_per_byte(loss),
            best_step=self.early_stopping.best_step if self.early_stopping.patience else None,
            stopped_early=done < self.plan.steps,
        )

    # What is measured while training

    def _open_window(self) -> None:
        self._opened = time.perf_counter()

    def _close_window(self, done: int) -> None:
        """Read the losses since the last time, all at once, and tell the means."""
        if not self._window:
            return
        columns = [column for column in zip(*self._window, strict=True) if column[0] is not None]
        losses, norms, *balances = torch.stack([torch.stack(column) for column in columns]).tolist()  # the one wait
        seconds = time.perf_counter() - self._opened
        self._training_seconds += seconds
        first = done - len(losses)
        self._window = []
        for number, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
            if not math.isfinite(loss):
                raise self._diverged(first + number, f"the loss is {loss}")
            if not math.isfinite(norm) and self.step.precision != "fp16":  # fp16 skips such a step and lowers its scale
                raise self._diverged(first + number, f"the gradient norm is {norm}")
        tokens_per_second = len(losses) * self.tokens_per_step / seconds
        values = {
            "loss": math.fsum(losses) / len(losses),
            "learning_rate": self.learning_rate(done - 1),
            "tokens_per_second": tokens_per_second,
            "memory_bytes": float(memory_in_use(self.step.device)),
        }
        if finite := [norm for norm in norms if math.isfinite(norm)]:
            values["gradient_norm"] = math.fsum(finite) / len(finite)
        if balances:
            values["expert_balance"] = math.fsum(balances[0]) / len(losses)
        if self.flops_per_token and self.matmul_peak:
            values["model_flops_utilization"] = tokens_per_second * self.flops_per_token / self.matmul_peak
        self.surroundings.metrics(done, values)
        self.surroundings.progress(done, self.plan.steps, unit="steps", note=f"loss {values['loss']:.3f}")

    def _diverged(self, step: int, what: str) -> BadInput:
        saved = self.checkpoints.steps()
        last = f"the last good checkpoint is that of step {saved[-1]:,}" if saved else "there is no checkpoint yet"
        return BadInput(
            f"Training diverged: at step {step:,} {what}; {last}.",
            "Lower the learning rate, raise the warm-up or clip gradients, then train again.",
        )

    # What a checkpoint holds

    def _save(self, done: int, validation_loss: float | None) -> None:
        self.group.require_same(self.step.parameters)
        if not self.group.leads:
            return
        held: dict[str, Mapping[str, torch.Tensor]] = {
            "weights": self.step.model.weights(),
            "optimizer": self.step.optimizer.named_state(),
        }
        if self.early_stopping.best_weights:
            held["best"] = self.early_stopping.best_weights
        self.checkpoints.save(
            Checkpoint(
                step=done,
                tensors=held,
                facts={
                    "identity": self.identity,
                    "early_stopping": self.early_stopping.facts(),
                    "loss_scale": self.step.facts(),
                },
                validation_loss=validation_loss,
            )
        )

    def _begin(self, resume_from: Checkpoint | None) -> int:
        """The number of steps done."""
        step = self.group.shared(None if resume_from is None else resume_from.step)
        if step is None:
            return 0
        taken = resume_from if resume_from is not None and resume_from.step == step else self.checkpoints.load(step)
        return self._restore(taken)

    def _restore(self, checkpoint: Checkpoint) -> int:
        self._require_own(checkpoint)
        self.step.model.load_weights(checkpoint.tensors["weights"])
        self.step.optimizer.load_named_state(checkpoint.tensors["optimizer"])
        self.early_stopping.restore(checkpoint.facts["early_stopping"], checkpoint.tensors.get("best", {}))
        self.step.restore(checkpoint.facts["loss_scale"])
        self.surroundings.log(f"Going on from step {checkpoint.step:,} of {self.plan.steps:,}.")
        return checkpoint.step

    def _require_own(self, checkpoint: Checkpoint) -> None:
        theirs = checkpoint.facts.get("identity", {})
        differing = [
            f"{name} was {theirs.get(name)!r} and is {self.identity.get(name)!r}"
            for name in sorted({*theirs, *self.identity})
            if theirs.get(name) != self.identity.get(name)
        ]
        if differing:
            raise BadInput(
                f"The checkpoint of step {checkpoint.step:,} belongs to another run: {'; '.join(differing)}.",
                "Resume with the settings and inputs of the run that wrote it, or train in an empty folder.",
            )
