"""What a person can say about a pretraining. Apart from the work, because it is shown without PyTorch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from glassbox.spec import ModelSpec
from glassbox.stages.interface import StageSettings
from glassbox.stages.local_paths import ModelName

DEFAULT_SECONDS = 180.0
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
