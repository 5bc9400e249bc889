"""From what a person sends to a start that can be made: settings, inputs, name and needs, checked all at once.

No path of the server can be named: `ClientPlaces` turns uploads into paths, and refuses everything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi.exceptions import RequestValidationError
from pydantic import Field, JsonValue, ValidationError

from glassbox.errors import BadInput
from glassbox.stages.inputs import Inputs, resolve_inputs
from glassbox.stages.interface import Stage, StageSettings
from glassbox.stages.local_paths import Places
from glassbox.workshop.jobs.slots import Slots, Takes
from glassbox.workshop.jobs.submission import Schedule, takes_of
from glassbox.workshop.problems import NotFound
from glassbox.workshop.visible import Visible
from glassbox.workspace.names import check_name

Reference = Annotated[str, Field(min_length=1, max_length=100)]


class StartRequest(Schedule):
    """What is to be done, with what, and when."""

    settings: dict[Annotated[str, Field(max_length=100)], JsonValue] = Field(
        default={}, max_length=200, description="The stage's settings; what is left out is as its schema says."
    )
    inputs: dict[Annotated[str, Field(max_length=40)], Reference] = Field(
        default={}, max_length=20, description="Artifacts by slot: NAME or NAME:3; what is left out is chosen."
    )
    name: str | None = Field(default=None, max_length=80, description="What the outputs are called; none chooses.")


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with a field of the request, such as `settings.steps`; "" is the request as a whole."""

    field: str
    problem: str
    remedy: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A start that can be made."""

    stage: Stage
    settings: StageSettings
    inputs: Inputs
    name: str
    takes: Takes


def prepare(
    stage: Stage, request: StartRequest, seen: Visible, places: Places, slots: Slots
) -> Prepared | list[FieldProblem]:
    """Everything that is wrong with a request, or the start that it asks for."""
    problems: list[FieldProblem] = []
    settings = _settings(stage, request.settings, places, problems)
    inputs = _inputs(stage, request.inputs, seen, problems)
    if request.name is not None:
        try:
            check_name(request.name)
        except BadInput as error:
            problems.append(FieldProblem("name", error.problem, error.remedy))
    if problems or settings is None or inputs is None:
        return problems
    try:
        takes = takes_of(stage, settings, inputs.artifacts, request, slots)
    except BadInput as error:
        return [FieldProblem("resources", error.problem, error.remedy)]
    first = next(iter(inputs.artifacts.values()), None)
    name = settings.name_after(first.name) if first else settings.default_name or stage.name
    return Prepared(stage, settings, inputs, request.name or name, takes)


def prepared(stage: Stage, request: StartRequest, seen: Visible, places: Places, slots: Slots) -> Prepared:
    """The start that a request asks for. Raises BadInput or RequestValidationError."""
    outcome = prepare(stage, request, seen, places, slots)
    if isinstance(outcome, Prepared):
        return outcome
    first = outcome[0]
    if len(outcome) == 1 and first.remedy is not None:
        raise BadInput(first.problem, first.remedy)
    raise RequestValidationError(
        [
            {"type": "value_error", "loc": ("body", *one.field.split(".")), "msg": one.problem.rstrip(".")}
            for one in outcome
        ]
    )


def _settings(
    stage: Stage, given: Mapping[str, JsonValue], places: Places, problems: list[FieldProblem]
) -> StageSettings | None:
    try:  # as JSON, where strict means: nothing but what the schema says, "3" and true being no numbers
        return stage.settings.model_validate_json(json.dumps(given), strict=True, context=places)
    except ValidationError as error:
        problems += [
            FieldProblem(".".join(["settings", *(str(part) for part in one["loc"])]), f"{one['msg']}.")
            for one in error.errors(include_url=False, include_context=False, include_input=False)[:50]
        ]
    except BadInput as error:
        problems.append(FieldProblem("settings", error.problem, error.remedy))
    return None


def _inputs(stage: Stage, given: Mapping[str, str], seen: Visible, problems: list[FieldProblem]) -> Inputs | None:
    try:
        return resolve_inputs(stage, seen, given)
    except NotFound as error:
        problems.append(FieldProblem("inputs", error.detail, error.remedy))
    except BadInput as error:
        problems.append(FieldProblem("inputs", error.problem, error.remedy))
    return None
