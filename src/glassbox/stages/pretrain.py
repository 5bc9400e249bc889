"""Train a language model from nothing on shards of token ids.

Before the first step it says what the run will take (parameters, memory, time, from a short measurement), afterwards
what it took. Give it steps, or seconds: then the number of steps that fits is decided once, before the first one. A
run that was killed or stopped goes on from its last checkpoint and ends with the same weights, to the bit. Several
processes can share each batch: what they learn is, up to rounding, what one learns (docs/parallel.md).
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, count_memory, described
from glassbox.stages.interface import Context, Needs, Slot, Stage, StageSettings
from glassbox.stages.local_paths import ModelName
from glassbox.workspace.artifact import Artifact

if TYPE_CHECKING:
    import torch

    from glassbox.data.shards import Shards
    from glassbox.stages.pretraining import Pretraining
    from glassbox.tokenizers import Tokenizer
    from glassbox.training.loop import Outcome
    from glassbox.training.parallel import Group
    from glassbox.training.planning import Choices, Decisions

DECISIONS_FILE = "decisions.json"
DEFAULT_SECONDS = 180.0
SUSTAINED = 0.5  # of what large matrices reach, in a whole step (see recipe.py)
MEMORY_OF_PYTORCH = 600_000_000  # bytes, before it has a model
MEMORY_OF_A_RECIPE = 2_000_000_000  # bytes, for a model that isn't chosen yet when the run is asked for
MAY_DIFFER = frozenset(
    {
        "steps", "learning_rate", "schedule", "warmup", "decay", "weight_decay", "clip", "dropout", "patience",
        "evaluate_every", "evaluation_tokens", "sample_every", "sample_tokens", "checkpoint_every", "keep_checkpoints",
    }
)  # fmt: skip
"""What a checkpoint's weights and optimiser state don't depend on: a fork may choose it anew."""
NOT_CHOSEN_HERE = {"kind", "head", "classes", "encoder_layers", "vocabulary_size", "experts", "rotary_scaling"}


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
    preset: ModelName | None = Field(
        None, description="A known model, or a spec.json, to begin with; none takes the recipe's for the time."
    )
    model: Architecture = Field(Architecture(), description="What is different from the preset.")  # pyright: ignore[reportInvalidTypeForm]  (made at run time)

    steps: int | None = Field(None, ge=1, le=10**9, description="Updates of the weights; or give seconds.")
    seconds: float | None = Field(None, gt=0, le=10**8, description="Train for about so long; 180 if nothing is said.")
    batch_size: int | None = Field(None, ge=1, le=10**6, description="Windows of a context that a step learns from.")
    micro_batch: int | None = Field(
        None, ge=0, le=10**6, description="Windows in memory at once; 0 finds the best by measuring, none takes all."
    )
    memory_share: float = Field(0.6, gt=0, le=1, description="Of the free memory, with micro-batch 0.")

    # None: the recipe's choice, which docs/recipe.md gives reasons for
    optimizer: Literal["muon", "adamw", "adam", "sgd"] | None = Field(None, description="How gradients become updates.")
    learning_rate: float | None = Field(None, gt=0, le=100, description="At its height.")
    schedule: Literal["wsd", "cosine", "linear", "constant"] | None = Field(None, description="How the rate moves.")
    warmup: float | None = Field(None, ge=0, lt=1, description="Share of the steps in which the rate climbs.")
    decay: float | None = Field(None, gt=0, le=1, description="Share of the steps, the last ones, in which wsd sinks.")
    weight_decay: float | None = Field(None, ge=0, le=10, description="Pull of the matrices towards zero.")
    clip: float | None = Field(None, ge=0, le=10**6, description="Gradient norm that none exceeds; 0 doesn't clip.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Share of values that training drops at random.")
    patience: int = Field(0, ge=0, le=10**6, description="Evaluations to wait for a better one; 0 never stops early.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the first weights, the order of the batches, and dropout.")

    evaluate_every: int | None = Field(None, ge=0, le=10**9, description="Steps; 0 never, none chooses about 20 times.")
    evaluation_tokens: int = Field(16_384, ge=1, le=10**9, description="Of the validation split, while training.")
    sample_every: int | None = Field(None, ge=0, le=10**9, description="Steps; 0 never, none chooses about 5 times.")
    sample_tokens: int = Field(96, ge=1, le=10**5, description="Length of each sample.")
    checkpoint_every: int | None = Field(None, ge=0, le=10**9, description="Steps; 0 never, none is once a minute.")
    keep_checkpoints: int | None = Field(
        None, ge=1, le=10**6, description="Newest checkpoints that stay; none keeps 2 while training and 1 afterwards."
    )

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute; auto prefers a GPU.")
    threads: int = Field(0, ge=0, le=4096, description="Of the processor; 0 takes one for each core.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="Auto measures what is fastest.")
    gradient_checkpointing: bool = Field(False, description="Less memory for a third more computing.")
    compile: bool = Field(False, description="Let torch.compile fuse the model: faster steps after a minute or so.")


def run(settings: Settings, context: Context) -> dict[str, object]:
    began = time.monotonic()
    from glassbox.training.parallel import joined

    inputs = _checked_inputs(settings, context)
    with joined(context.rank, context.world_size) as group:
        return _run(settings, context, inputs, group, began)


def _run(settings: Settings, context: Context, inputs: Inputs, group: Group, began: float) -> dict[str, object]:
    from glassbox.engines.tensors import save_model

    training, decisions = _planned(settings, context, inputs, group, began)
    checkpoint = training.checkpoint() if group.leads else None
    predicted = training.predict(decisions, done=0 if checkpoint is None else checkpoint.step)
    context.log(_sentence("Predicted", predicted))

    outcome = training.run(decisions, checkpoint)
    if not group.leads:
        return {}
    if not outcome.finished:
        context.log(f"Stopped after step {outcome.steps:,} of {decisions.plan.steps:,}; resume the run to go on.")
        return {"finished": False, "steps": outcome.steps}
    measured = {
        "parameters": sum(weight.numel() for weight in training.model.weights().values()),
        "memory_bytes": training.memory.bytes(),
        "seconds": time.monotonic() - began - context.paused_seconds,
    }
    context.log(_sentence("Measured", measured) + f" Before, {training.memory.before / 1e6:,.0f} MB were taken.")
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
    if settings.keep_checkpoints is None:
        training.checkpoints.keep_newest()
    return result


def _planned(
    settings: Settings, context: Context, inputs: Inputs, group: Group, began: float
) -> tuple[Pretraining, Decisions]:
    """What an earlier attempt decided, or what is decided now, by the leader for all processes."""
    import torch

    from glassbox.stages.pretraining import Pretraining
    from glassbox.training.planning import Choices, Decisions

    decided = context.checkpoints / DECISIONS_FILE
    if group.agreed(decided.exists()):
        decisions = Decisions.load(decided).changed(settings.model_dump(include=set(MAY_DIFFER), exclude_none=True))
        device = _device(decisions.device)
        if decisions.processes != group.world_size:
            context.log(
                f"{group.world_size} instead of {decisions.processes} processes: the time will not be as predicted, "
                "and the weights are the same up to rounding."
            )
        return Pretraining(settings, context, inputs, decisions.choices, device, group), decisions
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    device = _device(settings.device)
    choices = _choose(settings, inputs, device, group.world_size).as_json() if group.leads else None
    training = Pretraining(settings, context, inputs, Choices.from_json(group.shared(choices)), device, group)
    decisions = training.decide(began)
    if group.leads:
        decisions.save(decided)
    return training, decisions


@dataclass(frozen=True)
class Inputs:
    """What is read: shards, and the tokenizer that made them."""

    shards: Shards
    tokenizer: Tokenizer
    tokenizer_folder: Path
    identity: dict[str, str]


def _checked_inputs(settings: Settings, context: Context) -> Inputs:
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
    return Inputs(
        shards,
        tokenizer,
        tokenizer_artifact.folder,
        {"shards": shards_artifact.manifest.hash, "tokenizer": tokenizer_artifact.manifest.hash},
    )


def _choose(settings: Settings, inputs: Inputs, device: torch.device, processes: int) -> Choices:
    """The recipe for this text, time and so many devices, with what was chosen otherwise. Raises BadInput."""
    from glassbox.training.planning import Choices
    from glassbox.training.precision import CANDIDATES, check_precision
    from glassbox.training.recipe import recommend
    from glassbox.training.throughput import matmul_peak

    formats = CANDIDATES if settings.precision == "auto" else (settings.precision,)
    speed = SUSTAINED * processes * max(matmul_peak(device, check_precision(name, device)) for name in formats)
    tokens = inputs.shards.split("train").token_count
    recipe = recommend(tokens, inputs.shards.vocabulary_size, settings.seconds or DEFAULT_SECONDS, speed)

    def chosen(name: str, otherwise: Any) -> Any:
        given = getattr(settings, name)
        return otherwise if given is None else given

    optimizer = chosen("optimizer", recipe.optimizer)
    own = optimizer == recipe.optimizer  # the recipe's rates are its optimiser's; another one has its own
    return Choices(
        spec=_spec(settings, recipe.spec),
        batch_size=chosen("batch_size", recipe.batch_size),
        optimizer=optimizer,
        learning_rate=chosen("learning_rate", recipe.learning_rate if own else None),
        schedule=chosen("schedule", recipe.schedule),
        warmup=chosen("warmup", recipe.warmup),
        decay=chosen("decay", recipe.decay),
        weight_decay=chosen("weight_decay", recipe.weight_decay if own else None),
        clip=chosen("clip", recipe.clip),
        dropout=chosen("dropout", recipe.dropout),
    )


def _spec(settings: Settings, recommended: ModelSpec) -> ModelSpec:
    """The preset, or what is recommended, with the fields that were given. Raises BadInput."""
    from glassbox.training.recipe import HEAD_WIDTH

    changes = settings.model.model_dump(exclude_none=True)
    start = recommended
    if settings.preset:
        start = described(settings.preset).replace(vocabulary_size=recommended.vocabulary_size)
    elif "width" in changes:
        changes = {"heads": max(1, changes["width"] // HEAD_WIDTH)} | changes
    spec = start.replace(**changes)
    if spec.kind != "decoder":
        raise BadInput(
            f"The preset {settings.preset} is an {spec.kind}, which doesn't go on with text.",
            "Choose a decoder's preset.",
        )
    return spec


def _device(name: str) -> torch.device:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("No GPU that PyTorch can use was found.", "Give --device cpu, or a CUDA build of PyTorch.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


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


def needs(settings: Settings, inputs: Mapping[str, Artifact]) -> Needs:
    """Predicted from the model's description where it is known, and from its batch."""
    gpu = {"cpu": "never", "cuda": "always"}.get(settings.device, "if there is one")
    memory, batch = MEMORY_OF_A_RECIPE, settings.micro_batch or settings.batch_size
    if settings.preset and batch:
        facts = inputs["tokenizer"].manifest.facts
        changes = settings.model.model_dump(exclude_none=True)
        if isinstance(size := facts.get("vocabulary_size"), int):
            changes["vocabulary_size"] = size
        spec = described(settings.preset).replace(**changes)
        memory = MEMORY_OF_PYTORCH + int(count_memory(spec, batch=batch).process)
    return Needs(settings.threads, memory, gpu)  # pyright: ignore[reportArgumentType]  (one of the three)


STAGE = Stage(
    settings=Settings,
    needs=needs,
    may_differ=MAY_DIFFER | {"seconds"},
    takes={
        "shards": Slot("shards", "the token ids to learn from"),
        "tokenizer": Slot("tokenizer", "the tokenizer that made them; the model keeps a copy"),
    },
    makes={"model": Slot("model", "the trained model, with its tokenizer and the story of its training")},
    run=run,
    parallel=True,
)
