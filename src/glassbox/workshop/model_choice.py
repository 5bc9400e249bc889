"""How a request says which model's description it is about."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, preset
from glassbox.workshop.bodies import Body
from glassbox.workshop.own_specs import OwnSpecs
from glassbox.workshop.visible import Visible

Fields = Annotated[dict[str, JsonValue], Field(max_length=100)]


class ModelChoice(Body):
    """One of the four, with some fields changed if wanted."""

    preset: str | None = Field(None, max_length=100, description="A preset's name.", examples=["gpt2-small"])
    own: str | None = Field(None, max_length=200, description="The id of a description of your own.")
    artifact: str | None = Field(None, max_length=100, description="The id of a model or an adapter.")
    fields: Fields | None = Field(None, description="The description itself, as a spec.json has it.")
    changes: Fields = Field(
        default_factory=dict[str, JsonValue],
        description="Fields to change; what followed from them follows anew.",
        examples=[{"layers": 6}],
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.preset, self.own, self.artifact, self.fields)) != 1:
            raise ValueError("give exactly one of preset, own, artifact and fields")
        return self

    def given(self, seen: Visible) -> dict[str, object]:
        """The fields as they were given, unchecked. Raises NotFound, and BadInput for an unknown preset."""
        if self.fields is not None:
            return {**self.fields, **self.changes}
        return {**self._known(seen).model_dump(exclude_unset=True), **self.changes}

    def spec(self, seen: Visible) -> ModelSpec:
        """The description. Raises NotFound, and BadInput that names every field at fault."""
        if self.fields is None and not self.changes:
            return self._known(seen)
        return ModelSpec.checked(self.given(seen))

    def _known(self, seen: Visible) -> ModelSpec:
        if self.preset is not None:
            return preset(self.preset)
        if self.own is not None:
            return OwnSpecs(seen).get(self.own).load()
        assert self.artifact is not None
        artifact = seen.by_id(self.artifact)
        if "spec.json" not in artifact.manifest.files:
            raise BadInput(f"The {artifact.kind} {artifact.reference} has no description.", "Give the id of a model.")
        return ModelSpec.load(artifact.folder / "spec.json")
