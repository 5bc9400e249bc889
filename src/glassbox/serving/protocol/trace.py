"""`POST /trace/{view}`: what a model computes while it reads a text. `GET /trace` lists the views."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from glassbox.serving.protocol.completions import TokenIds

Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[list[Pattern], Field(max_length=64)]


class TraceRequest(BaseModel):
    """A text, which is begun as texts were in training, or ids, which are read as they come."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    input: str | TokenIds


class ValuesRequest(TraceRequest):
    """Values by name, `*` standing for anything, and gradients of the mean loss of the next tokens by them."""

    names: Patterns = []
    gradients: Patterns = []


class AttentionRequest(TraceRequest):
    layer: int | None = Field(default=None, ge=0, description="Only this layer; by default all.")
    head: int | None = Field(default=None, ge=0, description="Only this head; by default all.")


class HeadsRequest(TraceRequest):
    ablation: Literal["zero", "mean"] = Field(default="zero", description="What silenced heads say.")


class LikeliestRequest(TraceRequest):
    count: int = Field(default=5, ge=1, le=20, description="How many of the likeliest tokens are told at each place.")


class PatchingRequest(TraceRequest):
    corrupted: str | TokenIds = Field(description="The other text, of as many tokens.")
    value: Pattern = Field(default="residual", description="What is exchanged, of each block, at each place.")
    answer: int | None = Field(default=None, ge=0, description="Id of the right answer; by default the likeliest.")
    foil: int | None = Field(default=None, ge=0, description="Id of the wrong one; by default the other text's.")


class View(BaseModel):
    name: str
    shows: str
    fields: dict[str, JsonValue] = Field(description="What may be asked: JSON Schema of the request's fields.")


class ValueName(BaseModel):
    """shape: of one token; `length` stands where a longer text makes the value larger."""

    name: str
    shape: list[int | Literal["length"]]


class Views(BaseModel):
    """What can be asked of this model. most_numbers: that one answer may hold."""

    views: list[View]
    values: list[ValueName]
    patterns: dict[str, str]
    most_numbers: int
