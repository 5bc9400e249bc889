"""Train a language model from nothing on shards of token ids.

Before the first step it says what the run will take (parameters, memory, time, from a short measurement), afterwards
what it took. Give it steps, or seconds: then the number of steps that fits is decided once, before the first one. A
run that was killed or stopped goes on from its last checkpoint and ends with the same weights, to the bit.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, count_flops, count_memory, count_parameters, preset
from glassbox.stages.interface import Context, Slot, Stage, StageSettings

if TYPE_CHECKING:
    import torch

    from glassbox.data.batches import Batches
    from glassbox.data.shards import Shards
    from glassbox.engines.tensors import Transformer
    from glassbox.engines.tensors.optimizer import Optimizer
    from glassbox.tokenizers import Tokenizer
    from glassbox.training.loop import Loop, Outcome
    from glassbox.training.planning import Decisions
    from glassbox.training.step import TrainingStep
    from glassbox.training.validation import Validation

DECISIONS_FILE = "decisions.json"
RECIPE: dict[str, object] = {
    "context": 256,
    "width": 256,
    "layers": 6,
    "heads": 4,
    "positions": "rotary",
    "qk_norm": True,
    "norm_gain": False,
    "activation": "relu_squared",
    "initialization": "zero",
    "logit_softcap": 15.0,
}
DEFAULT_SECONDS = 180.0
SHARE_MEASURED = 0.03  # of the time that a run is given, to find out how many steps that is; at most:
LONGEST_MEASURED = 5.0  # seconds
NOT_CHOSEN_HERE = {"kind", "head", "classes", "encoder_layers", "vocabulary_size", "experts"}


def _optional(field: FieldInfo) -> Any:
    """The same field with the same bounds, which may be left out."""
    kind: Any = field.annotation
    return Annotated[(kind | None, *field.metadata)] if field.metadata else kind | None, Field(
        None, description=field.description
    )


_FIELDS = {name: _optional(field) for name, field in ModelSpec.model_fields.items() if name not in NOT_CHOSEN_HERE}
Architecture = create_model("Architecture", __config__=ConfigDict(frozen=True, extra="forbid"), **_FIELDS)
Architecture.__doc__ = "Any field of `ModelSpec` that a decoder has; what is left out is as in the preset."


class Settings(StageSettings):
    preset: str | None = Field(None, description="A known model to begin with; none takes the recipe's own shape.")
    model: Architecture = Field(Architecture(), description="What is different from the preset.")  # pyright: ignore[reportInvalidTypeForm]

    steps: int | None = Field(None, ge=1, le=10**9, description="Updates of the weights; or give seconds.")
    seconds: float | None = Field(None, gt=0, le=10**8, description="Train for about so long; 180 if nothing is said.")
    batch_size: int = Field(16, ge=1, le=10**6, description="Windows of one context that each step learns from.")
    micro_batch: int | None = Field(
        None, ge=0, le=10**6, description="Windows in memory at once; 0 finds the best by measuring, none takes all."
    )
    memory_share: float = Field(0.6, gt=0, le=1, description="Of the free memory, with micro-batch 0.")

    optimizer: Literal["muon", "adamw", "adam", "sgd"] = Field("muon", description="How gradients become updates.")
    learning_rate: float | None = Field(None, gt=0, le=100, description="At its height; none is the optimiser's own.")
    schedule: Literal["wsd", "cosine", "linear", "constant"] = Field("wsd", description="How the rate moves.")
    warmup: float = Field(0.02, ge=0, lt=1, description="Share of the steps in which the learning rate climbs.")
    weight_decay: float | None = Field(None, ge=0, le=10, description="Of matrices; none is the optimiser's own.")
    clip: float = Field(1.0, ge=0, le=10**6, description="Gradient norm that none exceeds; 0 doesn't clip.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of values that training drops at random.")
    patience: int = Field(0, ge=0, le=10**6, description="Evaluations to wait for a better one; 0 never stops early.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the first weights, the order of the batches, and dropout.")

    evaluate_every: int | None = Field(None, ge=0, le=10**9, description="Steps; 0 never, none chooses about 20 times.")
    evaluation_tokens: int = Field(16_384, ge=1, le=10**9, description="Of the validation split, while training.")
    sample_every: int | None = Field(None, ge=0, le=10**9, description="Steps; 0 never, none chooses about 5 times.")
    sample_tokens: int = Field(96, ge=1, le=10**5, description="Length of each sample.")
    checkpoint_every: int | None = Field(None, ge=0, le=10**9, description="Steps; 0 never, none is once a minute.")
    keep_checkpoints: int = Field(2, ge=1, le=10**6, description="Newest checkpoints that stay while training.")

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute; auto prefers a GPU.")
    threads: int = Field(0, ge=0, le=4096, description="Of the processor; 0 takes one for each core.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="Auto measures what is fastest.")
    gradient_checkpointing: bool = Field(False, description="Less memory for a third more computing.")
    compile: bool = Field(False, description="Let torch.compile fuse the model: faster steps after a minute or so.")


def run(settings: Settings, context: Context) -> dict[str, object]:
    began = time.monotonic()
    from glassbox.engines.tensors import save_model
    from glassbox.training.memory import PeakMemory, rehearse
    from glassbox.training.planning import Decisions

    inputs = _checked_inputs(settings, context)
    decided = context.checkpoints / DECISIONS_FILE
    decisions = Decisions.load(decided) if decided.exists() else None  # made by an earlier attempt
    device = _device(settings.device if decisions is None else decisions.device)
    rehearse(device)
    memory = PeakMemory(device)
    training = _Pretraining(settings, context, inputs, device)
    if decisions is None:
        decisions = training.decide(began)
        decisions.save(decided)
    predicted = training.predict(decisions)
    context.log(_sentence("Predicted", predicted))

    outcome = training.run(decisions)
    if not outcome.finished:
        context.log(f"Stopped after step {outcome.steps:,} of {decisions.plan.steps:,}; resume the run to go on.")
        return {"finished": False, "steps": outcome.steps}
    measured = {
        "parameters": sum(weight.numel() for weight in training.model.weights().values()),
        "memory_bytes": memory.bytes(),
        "seconds": time.monotonic() - began,
    }
    context.log(_sentence("Measured", measured))
    result = _result(outcome) | {"predicted": predicted, "measured": measured, "attempts": context.attempt}
    with context.output("model") as draft:
        save_model(training.model, draft.folder)
        shutil.copytree(inputs.tokenizer_folder, draft.folder / "tokenizer", ignore=lambda *_: ["manifest.json"])
        story = {"settings": settings.model_dump(mode="json"), "decisions": decisions.as_json(), "result": result}
        (draft.folder / "training.json").write_text(json.dumps(story, indent=2) + "\n", encoding="utf-8")
        draft.describe(
            parameters=measured["parameters"],
            steps=outcome.steps,
            validation_loss=outcome.validation_loss,
            bits_per_byte=outcome.bits_per_byte,
        )
    return result


@dataclass(frozen=True)
class _Inputs:
    """What is read: shards, the tokenizer that made them, and the description of a model that fits both."""

    shards: Shards
    tokenizer: Tokenizer
    tokenizer_folder: Path
    spec: ModelSpec
    identity: dict[str, str]


def _checked_inputs(settings: Settings, context: Context) -> _Inputs:
    """Raises BadInput where shards, tokenizer and model don't belong together."""
    from glassbox.data.shards import Shards
    from glassbox.tokenizers import load

    if settings.steps is not None and settings.seconds is not None:
        raise BadInput("Both a number of steps and a time were given.", "Give --steps or --seconds.")
    shards_artifact, tokenizer_artifact = context.input("shards"), context.input("tokenizer")
    shards, tokenizer = Shards(shards_artifact.folder), load(tokenizer_artifact.folder)
    if (
        shards.tokenizer != tokenizer_artifact.reference
        or shards.vocabulary_size != tokenizer.vocabulary_size
        or shards.end_of_text != tokenizer.end_of_text
    ):
        raise BadInput(
            f"The shards {shards_artifact.reference} were made by the tokenizer {shards.tokenizer} of "
            f"{shards.vocabulary_size:,} ids, and {tokenizer_artifact.reference} of {tokenizer.vocabulary_size:,} "
            "ids was given.",
            f"Give --tokenizer {shards.tokenizer}, or tokenize the corpus again.",
        )
    return _Inputs(
        shards,
        tokenizer,
        tokenizer_artifact.folder,
        _spec(settings, shards.vocabulary_size),
        {"shards": shards_artifact.manifest.hash, "tokenizer": tokenizer_artifact.manifest.hash},
    )


def _spec(settings: Settings, vocabulary_size: int) -> ModelSpec:
    """The preset with the fields that were given, and with the shards' vocabulary. Raises BadInput."""
    changes = settings.model.model_dump(exclude_none=True)
    start = preset(settings.preset).model_dump(exclude_unset=True) if settings.preset else RECIPE
    spec = ModelSpec.checked({**start, **changes, "vocabulary_size": vocabulary_size})
    if spec.kind != "decoder":
        raise BadInput(
            f"The preset {settings.preset} is an {spec.kind}, which doesn't write text.", "Choose a decoder's preset."
        )
    return spec


def _device(name: str) -> torch.device:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("No GPU that PyTorch can use was found.", "Give --device cpu, or a CUDA build of PyTorch.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


class _Pretraining:
    """One attempt at the run: the model, and what trains it."""

    def __init__(self, settings: Settings, context: Context, inputs: _Inputs, device: torch.device) -> None:
        import torch

        from glassbox.data.batches import Batches
        from glassbox.training.validation import Validation

        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.settings, self.context, self.inputs = settings, context, inputs
        self.spec, self.device = inputs.spec, device
        train, held_out = inputs.shards.split("train"), inputs.shards.split("validation")
        length = self.spec.context
        self.batches: Batches = Batches(train, settings.batch_size, length, settings.seed)
        rows = min(settings.batch_size, settings.micro_batch or settings.batch_size)
        self.validation: Validation = Validation(held_out, length, rows, settings.evaluation_tokens, self.device)
        self.model: Transformer = self._fresh_model()

    def decide(self, began: float) -> Decisions:
        """Measure this machine a little, and settle all that follows from it."""
        import torch

        from glassbox.training.planning import Decisions, decide, measure
        from glassbox.training.step import FORMATS
        from glassbox.training.throughput import matmul_peak

        settings = self.settings
        self.context.progress(0, None, note="measuring this machine")
        seconds = settings.seconds if settings.seconds or settings.steps else DEFAULT_SECONDS
        precision = self._fastest_precision() if settings.precision == "auto" else settings.precision
        micro_batch = self._micro_batch(precision)
        pace = measure(
            self._step(self.model, precision, micro_batch),
            self.batches,
            self.validation,
            self._sample,
            self.context.checkpoints / "measuring",
            min(LONGEST_MEASURED, SHARE_MEASURED * (seconds or LONGEST_MEASURED)),
        )
        peak = matmul_peak(self.device, FORMATS[precision])
        self.model.load_weights(self._fresh_model().weights())
        plan = decide(
            pace,
            steps=settings.steps,
            seconds=None if seconds is None else seconds - (time.monotonic() - began),
            evaluate_every=settings.evaluate_every,
            sample_every=settings.sample_every,
            checkpoint_every=settings.checkpoint_every,
        )
        return Decisions(self.device.type, torch.get_num_threads(), precision, micro_batch, plan, pace, peak)

    def predict(self, decisions: Decisions) -> dict[str, float]:
        """Parameters, bytes and seconds, from the description and the measured pace."""
        number_format = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[decisions.precision]
        memory = count_memory(
            self.spec,
            batch=decisions.micro_batch,
            optimizer="momentum" if self.settings.optimizer == "sgd" else self.settings.optimizer,
            activations_in=number_format,  # pyright: ignore[reportArgumentType]
            gradient_checkpointing=self.settings.gradient_checkpointing,
        )
        return {
            "parameters": count_parameters(self.spec).total,
            "memory_bytes": memory.training,
            "seconds": decisions.pace.predict(decisions.plan),
        }

    def run(self, decisions: Decisions) -> Outcome:
        """From the latest checkpoint, or from the beginning, to the end of the plan."""
        import torch

        from glassbox.training.checkpoints import Checkpoints
        from glassbox.training.loop import Loop

        torch.set_num_threads(decisions.threads)  # other sums round otherwise, and the bits would differ
        checkpoints = Checkpoints(
            self.context.checkpoints, keep_last=self.settings.keep_checkpoints, report=self.context.log
        )
        step = self._step(self.model, decisions.precision, decisions.micro_batch)
        loop: Loop = Loop(
            step,
            self.batches,
            self._learning_rate(step.optimizer, decisions.plan.steps),
            self.validation,
            checkpoints,
            self.context,
            decisions.plan,
            patience=self.settings.patience,
            identity=self.settings.model_dump(mode="json") | self.inputs.identity,
            flops_per_token=count_flops(self.spec).training,
            matmul_peak=decisions.matmul_peak,
            sample=self._tell_sample,
        )
        return loop.run(checkpoints.latest())

    def _fresh_model(self) -> Transformer:
        from glassbox.engines.tensors import Transformer

        settings = self.settings
        model = Transformer(
            self.spec, settings.seed, dropout=settings.dropout, checkpointing=settings.gradient_checkpointing
        )
        return model.to(self.device)

    def _step(self, model: Transformer, precision: str, micro_batch: int) -> TrainingStep:
        from glassbox.training.step import TrainingStep

        return TrainingStep(
            model,
            self._optimizer(model),
            micro_batch=micro_batch,
            clip=self.settings.clip,
            precision=precision,
            seed=self.settings.seed,
            compiled=self.settings.compile,
        )

    def _optimizer(self, model: Transformer) -> Optimizer:
        from glassbox.engines.tensors.optimizer import OPTIMIZERS

        settings, options = self.settings, {}
        if settings.learning_rate is not None:
            options["learning_rate"] = settings.learning_rate
        if settings.weight_decay is not None:
            if settings.optimizer not in ("muon", "adamw"):
                raise BadInput(f"{settings.optimizer} has no weight decay.", "Leave it out, or choose muon or adamw.")
            options["weight_decay"] = settings.weight_decay
        return OPTIMIZERS[settings.optimizer](model, **options)

    def _learning_rate(self, optimizer: Optimizer, steps: int) -> Callable[[int], float]:
        from glassbox.training.schedules import Schedule

        group = optimizer.param_groups[0]
        height = group["lr"] / group["lr_factor"]
        return Schedule(self.settings.schedule, steps, height, warmup=int(self.settings.warmup * steps))

    def _micro_batch(self, precision: str) -> int:
        from glassbox.training.batch_size import find_batch_size, memory_limit, trial

        settings = self.settings
        if settings.micro_batch != 0:
            return min(settings.micro_batch or settings.batch_size, settings.batch_size)
        finding = find_batch_size(
            trial(
                lambda size: self._step(self.model, precision, size),
                self.inputs.shards.split("train"),
                self.spec.context,
                self.device,
            ),
            memory_limit=memory_limit(self.device, settings.memory_share),
            largest=settings.batch_size,
        )
        self.context.log(f"{finding.batch_size:,} windows at once: {finding.reason}.")
        return finding.batch_size

    def _fastest_precision(self) -> str:
        from glassbox.training.planning import seconds_per_call

        rows = self.validation.batch_size

        def seconds(precision: str) -> float:
            step = self._step(self.model, precision, rows)
            return seconds_per_call(lambda number: step(number, self.batches.batch(number), 0.0), self.device, 0.1)

        return min(("fp32", "bf16"), key=seconds)

    def _sample(self) -> str:
        """How the model goes on from the end of a document: the same words for the same weights."""
        from glassbox.generation import Decoder, Decoding

        prompt = [self.inputs.shards.end_of_text or 0]
        chosen = Decoder(self.model).tokens([prompt], Decoding(self.settings.sample_tokens, seed=self.settings.seed))
        return self.inputs.tokenizer.decode(step.ids[0] for step in chosen)

    def _tell_sample(self, done: int) -> None:
        self.context.text(f"sample after {done:,} steps", self._sample())


def _sentence(beginning: str, values: dict[str, Any]) -> str:
    return (
        f"{beginning}: {values['parameters']:,} parameters, {values['memory_bytes'] / 1e6:,.0f} MB of memory, "
        f"{values['seconds']:,.1f} seconds."
    )


def _result(outcome: Outcome) -> dict[str, object]:
    import math

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


STAGE = Stage(
    settings=Settings,
    takes={
        "shards": Slot("shards", "the token ids to learn from"),
        "tokenizer": Slot("tokenizer", "the tokenizer that made them; the model keeps a copy"),
    },
    makes={"model": Slot("model", "the trained model, with its tokenizer and the story of its training")},
    run=run,
)
