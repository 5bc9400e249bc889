"""What a run does: what was asked for, and where nothing was, the recipe's choice (docs/recipe.md)."""

from __future__ import annotations

from typing import Any

import torch

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, described
from glassbox.stages.pretraining.inputs import Inputs
from glassbox.stages.pretraining.settings import DEFAULT_SECONDS, Settings
from glassbox.training.planning import Choices
from glassbox.training.precision import CANDIDATES, check_precision
from glassbox.training.recipe import HEAD_WIDTH, recommend
from glassbox.training.throughput import matmul_peak

SUSTAINED = 0.5  # of what large matrices reach, in a whole step (see recipe.py)


def choose(settings: Settings, inputs: Inputs, device: torch.device, processes: int) -> Choices:
    """The recipe for this text, time and so many devices, with what was chosen otherwise. Raises BadInput."""
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


def device_named(name: str) -> torch.device:
    """Raises BadInput for a GPU that there isn't."""
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("No GPU that PyTorch can use was found.", "Give --device cpu, or a CUDA build of PyTorch.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
