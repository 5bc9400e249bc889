"""Descriptions of models that people keep under names of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, Field, JsonValue

from glassbox.errors import BadInput
from glassbox.spec import count_parameters
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.model_choice import ModelChoice
from glassbox.workshop.own_specs import OwnSpec, OwnSpecs
from glassbox.workshop.router import Router

router = Router(tags=["Descriptions"])

SpecId = Annotated[str, Path(max_length=200, description="The description's id.")]


class OwnSpecSummary(BaseModel):
    """A description that somebody keeps."""

    id: str = Field(examples=["tiny-llama"])
    name: str = Field(examples=["tiny-llama"])
    mine: bool
    parameters: int | None = Field(description="null where the file isn't a description any more.")
    problem: str | None = Field(description="What is wrong with the file.")


class OwnSpecDetails(BaseModel):
    """With the description itself."""

    id: str
    name: str
    mine: bool
    parameters: int
    description: dict[str, JsonValue]


class SavedSpec(Body):
    """What to keep, and under which name."""

    name: str = Field(max_length=100, examples=["tiny-llama"])
    model: ModelChoice
    replace: bool = Field(False, description="Even if you have one of that name.")


@router.get("/api/own-specs", summary="List kept descriptions")
@allows("member")
def list_own_specs(seen: Seen) -> list[OwnSpecSummary]:
    """Your own, and those that others share."""
    return [_summary(one) for one in OwnSpecs(seen).list()]


@router.post("/api/own-specs", summary="Keep a description", status_code=201)
@allows("member")
def save_own_spec(wanted: SavedSpec, seen: Seen, response: Response) -> OwnSpecDetails:
    """Under a name of your own. 409 if you have one of that name, unless it is to be replaced."""
    saved = OwnSpecs(seen).save(wanted.name, wanted.model.spec(seen), replace=wanted.replace)
    response.headers["Location"] = f"/api/own-specs/{saved.id}"
    return _details(saved)


@router.get("/api/own-specs/{spec_id}", summary="One kept description")
@allows("member")
def get_own_spec(spec_id: SpecId, seen: Seen) -> OwnSpecDetails:
    """With all of its fields."""
    return _details(OwnSpecs(seen).get(spec_id))


@router.delete("/api/own-specs/{spec_id}", summary="Delete a kept description", status_code=204)
@allows("member")
def delete_own_spec(spec_id: SpecId, seen: Seen) -> None:
    """Models that were made from it keep theirs."""
    OwnSpecs(seen).delete(spec_id)


def _summary(one: OwnSpec) -> OwnSpecSummary:
    parameters, problem = None, None
    try:
        parameters = count_parameters(one.load()).total
    except BadInput as error:
        problem = error.problem.replace(str(one.file), "The file")
    return OwnSpecSummary(id=one.id, name=one.name, mine=one.mine, parameters=parameters, problem=problem)


def _details(one: OwnSpec) -> OwnSpecDetails:
    spec = one.load()
    return OwnSpecDetails(
        id=one.id,
        name=one.name,
        mine=one.mine,
        parameters=count_parameters(spec).total,
        description=spec.model_dump(mode="json"),
    )
