"""Descriptions of models: check them, count what they cost, compare them. Nothing is allocated, no model is built."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import BaseModel, Field, JsonValue

from glassbox.errors import BadInput
from glassbox.pictures.parameters import parameters_by_part
from glassbox.spec import ModelSpec, count_parameters, part_of, preset, presets, weight_shapes
from glassbox.spec.comparison import TOKENS_PER_PARAMETER, Counted, compare, differences
from glassbox.spec.memory import NumberFormat, Optimizer
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.model_choice import ModelChoice
from glassbox.workshop.pictures import PICTURE_ANSWERS, Form, ThemeName, picture
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workspace.prices import MachinePrice, Prices

router = Router(tags=["Descriptions"])

MANY_LAYERS = 1_000
"""Of all models of a request together: beyond, counting takes a noticeable part of a second."""
_HOUR = 3600


class PresetSummary(BaseModel):
    """A well-known model."""

    name: str = Field(examples=["gpt2-small"])
    about: str = Field(description="What it is, with its source.")
    parameters: int = Field(examples=[124_439_808])


class Preset(PresetSummary):
    """With its description."""

    description: dict[str, JsonValue]


class Fault(BaseModel):
    """What is wrong. field: empty where several fields don't go together, which the message then names."""

    field: str = Field(examples=["heads"])
    message: str = Field(description="What is wrong, what came, and what to change.")


class Validation(BaseModel):
    """Whether a model can be built from it."""

    valid: bool
    faults: list[Fault]
    description: dict[str, JsonValue] | None = Field(description="Complete, with all that follows; null with faults.")


class Conditions(Body):
    """What is counted under; the same for all models of a request."""

    batch: int = Field(1, ge=1, le=10**6, description="Texts at once, for the memory of training and of the cache.")
    context: int | None = Field(None, ge=1, le=10**9, description="Tokens of each text; without it all it reads.")
    optimizer: Optimizer = "adamw"
    weights_in: NumberFormat = "float32"
    activations_in: NumberFormat = "float32"
    tokens: float | None = Field(
        None, ge=1, le=1e18, description=f"Of the whole training; without it {TOKENS_PER_PARAMETER} for each parameter."
    )
    flops: float | None = Field(
        None, gt=0, le=1e24, description="Training FLOP/s that a machine reaches, to predict the time on it."
    )
    machine: str | None = Field(
        None, max_length=200, description="A machine of the price table: its price, and its FLOP/s if they stand there."
    )


class CountedModel(Body):
    """One model to count."""

    model: ModelChoice
    conditions: Conditions = Conditions.model_validate({})


class ComparedModels(Body):
    """Models to lay side by side, by names of your choice."""

    models: dict[str, ModelChoice] = Field(
        min_length=1, max_length=12, examples=[{"GPT-2": {"preset": "gpt2-small"}, "Llama": {"preset": "llama3-8b"}}]
    )
    conditions: Conditions = Conditions.model_validate({})


class ParametersView(BaseModel):
    """Exact numbers of trainable parameters."""

    total: int
    without_embeddings: int
    active: int = Field(description="What one token passes through.")
    by_part: dict[str, int]


class FlopsView(BaseModel):
    """Floating-point operations per token, averaged over a full context."""

    forward: float
    training: float
    by_part: dict[str, float]


class MemoryView(BaseModel):
    """Bytes. training: the most that is held at once, less than the sum of its parts. cache: while generating."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    casts: float
    working: float
    training: float
    process: float
    cache_per_token: float
    cache: float


class Counts(BaseModel):
    """What a model costs."""

    parameters: ParametersView
    flops: FlopsView
    memory: MemoryView
    training_tokens: float
    training_flops: float
    seconds: float | None = Field(description="Of the training, at the FLOP/s given; null without them.")
    cost: float | None = Field(description="Of the training on the machine named; null without one.")
    currency: str | None


class ComparisonOfModels(BaseModel):
    """What each costs, and the fields in which they differ."""

    models: dict[str, Counts]
    differences: dict[str, dict[str, JsonValue]] = Field(description="Field -> name -> value.")


class Weight(BaseModel):
    """A weight by its canonical name."""

    name: str = Field(examples=["blocks.0.attention.query"])
    shape: list[int] = Field(examples=[[768, 768]])
    part: str = Field(examples=["attention"])


class Weights(BaseModel):
    """Some of the weights, in the order in which the forward pass meets them."""

    weights: list[Weight]
    total: int = Field(description="How many there are.")


class PicturedModels(Body):
    """Models to draw."""

    models: dict[str, ModelChoice] = Field(min_length=1, max_length=12)
    theme: ThemeName = "dark"
    form: Form = "svg"


@router.get("/api/presets", summary="List presets")
@allows("member")
def list_presets() -> list[PresetSummary]:
    """Well-known models, counted exactly."""
    return [_preset(name, about) for name, about in presets().items()]


@router.get("/api/presets/{name}", summary="One preset")
@allows("member")
def get_preset(name: Annotated[str, Path(max_length=100, examples=["gpt2-small"])]) -> Preset:
    """With its complete description."""
    try:
        spec = preset(name)
    except BadInput as error:
        raise NotFound("preset", name, error.remedy) from None
    return Preset(**_preset(name, presets()[name]).model_dump(), description=spec.model_dump(mode="json"))


@router.get("/api/specs/schema", summary="What a description may say")
@allows("member")
def get_spec_schema() -> dict[str, Any]:
    """The JSON schema of a description: every field with what it means, its bounds and its default."""
    return ModelSpec.model_json_schema()


@router.post("/api/specs/validate", summary="Check a description")
@allows("member", noted=False)
def validate_spec(model: ModelChoice, seen: Seen) -> Validation:
    """Every fault with its field, and what to change."""
    given = model.given(seen)
    faults = [Fault(field=fault.field, message=fault.message) for fault in ModelSpec.faults(given)]
    description = None if faults else ModelSpec.checked(given).model_dump(mode="json")
    return Validation(valid=not faults, faults=faults, description=description)


@router.post("/api/specs/count", summary="Count what a model costs")
@allows("member", noted=False)
def count_spec(wanted: CountedModel, seen: Seen, workshop: CurrentWorkshop) -> Counts:
    """Parameters by part, FLOPs per token, memory of training and of the cache, and the time and cost of training."""
    return _counted({"model": wanted.model.spec(seen)}, wanted.conditions, workshop)["model"]


@router.post("/api/specs/compare", summary="Lay models side by side")
@allows("member", noted=False)
def compare_model_specs(wanted: ComparedModels, seen: Seen, workshop: CurrentWorkshop) -> ComparisonOfModels:
    """All counted under the same conditions."""
    specs = {name: choice.spec(seen) for name, choice in wanted.models.items()}
    found: Any = differences(specs)  # the fields of descriptions are JSON
    return ComparisonOfModels(models=_counted(specs, wanted.conditions, workshop), differences=found)


@router.post("/api/specs/weights", summary="The table of weights")
@allows("member", noted=False)
def list_weights(
    model: ModelChoice,
    seen: Seen,
    offset: Annotated[int, Query(ge=0, le=10**9, description="Skip so many.")] = 0,
    limit: Annotated[int, Query(ge=1, le=2000, description="At most so many.")] = 500,
) -> Weights:
    """Every weight with its name, its shape and its part: what engines build, and files hold."""
    shapes = list(weight_shapes(model.spec(seen)).items())
    return Weights(
        weights=[
            Weight(name=name, shape=list(shape), part=part_of(name)) for name, shape in shapes[offset : offset + limit]
        ],
        total=len(shapes),
    )


@router.post("/api/specs/picture", summary="A picture of where the parameters are", **PICTURE_ANSWERS)
@allows("member", noted=False)
def draw_parameters(wanted: PicturedModels, seen: Seen, workshop: CurrentWorkshop) -> Response:
    """A bar for each model, its parts in their colours, as SVG or PNG."""
    specs = {name: choice.spec(seen) for name, choice in wanted.models.items()}
    with workshop.turns.take(needed=_are_large(specs)):
        counted = {name: count_parameters(spec) for name, spec in specs.items()}
    return picture([parameters_by_part("parameters by part", counted)], " · ".join(specs), wanted.theme, wanted.form)


@functools.cache
def _preset(name: str, about: str) -> PresetSummary:
    return PresetSummary(name=name, about=about, parameters=count_parameters(preset(name)).total)


def _counted(specs: dict[str, ModelSpec], conditions: Conditions, workshop: CurrentWorkshop) -> dict[str, Counts]:
    machine = None if conditions.machine is None else _machine(conditions, workshop)
    with workshop.turns.take(needed=_are_large(specs)):
        counted = compare(
            specs,
            batch=conditions.batch,
            context=conditions.context,
            optimizer=conditions.optimizer,
            weights_in=conditions.weights_in,
            activations_in=conditions.activations_in,
            training_tokens=conditions.tokens,
        )
    pace = conditions.flops or (None if machine is None else machine.flops)
    return {name: _view(one, pace, machine) for name, one in counted.items()}


def _machine(conditions: Conditions, workshop: CurrentWorkshop) -> MachinePrice:
    machine = Prices.load(workshop.workspace.folder).of_machine(conditions.machine or "")
    if machine.flops is None and conditions.flops is None:
        raise BadInput(
            f"The price table doesn't say how many FLOP/s {conditions.machine} reaches.",
            "Give them as `flops`, or let an owner enter them there.",
        )
    return machine


def _view(counted: Counted, pace: float | None, machine: MachinePrice | None) -> Counts:
    seconds = None if pace is None else counted.training_flops / float(pace)
    cost = None if seconds is None or machine is None else seconds / _HOUR * float(machine.hour)
    return Counts(
        parameters=ParametersView.model_validate(asdict(counted.parameters)),
        flops=FlopsView.model_validate(asdict(counted.flops)),
        memory=MemoryView.model_validate(asdict(counted.memory)),
        training_tokens=counted.training_tokens,
        training_flops=counted.training_flops,
        seconds=seconds,
        cost=cost,
        currency=None if cost is None or machine is None else machine.currency,
    )


def _are_large(specs: dict[str, ModelSpec]) -> bool:
    return sum(spec.layers + spec.encoder_layers for spec in specs.values()) > MANY_LAYERS
