"""The settings of a run that is made from another one: the same, with some changed where that keeps its meaning."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.exceptions import RequestValidationError
from pydantic import JsonValue, ValidationError

from glassbox.errors import BadInput
from glassbox.stages.interface import Stage, StageSettings
from glassbox.stages.local_paths import Places


def forked(
    stage: Stage, saved: Mapping[str, JsonValue], changes: Mapping[str, JsonValue], places: Places, *, going_on: bool
) -> StageSettings:
    """saved: the other run's. going_on: from a checkpoint of it, and not from the beginning.

    Raises BadInput if what was saved is another version's, or if what goes on can't differ so; RequestValidationError
    for values that the stage doesn't take.
    """
    try:
        before = stage.settings.model_validate(dict(saved))
    except ValidationError as error:
        raise BadInput(
            "The settings of this run are from another version of Glassbox.", f"Start a new run of {stage.name}."
        ) from error
    if not changes:
        return before
    try:  # as it is seen from elsewhere: what a person isn't allowed to name isn't kept for them either
        shown = before.model_dump(mode="json", context=places)
        after = stage.settings.model_validate({**shown, **changes}, context=places)
    except ValidationError as error:
        wrong = [
            {**one, "loc": ("body", "settings", *one["loc"])}
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise RequestValidationError(wrong) from error
    if going_on:
        _check_same_meaning(stage, before, after)
    return after


def _check_same_meaning(stage: Stage, before: StageSettings, after: StageSettings) -> None:
    different = [name for name in type(before).model_fields if getattr(before, name) != getattr(after, name)]
    wrong = [name for name in different if name not in stage.may_differ]
    if wrong:
        possible = ", ".join(sorted(stage.may_differ)) or "nothing"
        raise BadInput(
            f"A run that goes on from a checkpoint can't differ in {', '.join(wrong)}.",
            f"It can in {possible}; or leave from_checkpoint out, and it begins anew.",
        )
    if "seconds" in different and getattr(after, "seconds", None) is not None:
        raise BadInput(
            "A run that goes on from a checkpoint is planned in steps, not in seconds.",
            "Give `steps`, and null for `seconds`.",
        )
