"""How much anybody may bring."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_GIB = 2**30
_DAY = 24 * 3600.0


class UploadLimits(BaseModel):
    """Sizes in bytes, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest: int = Field(default=10 * _GIB, ge=1, description="One upload.")
    per_person: int = Field(default=20 * _GIB, ge=1, description="All uploads of a person.")
    uploads_per_person: int = Field(default=200, ge=1, description="How many uploads a person may have.")
    in_all: int = Field(default=200 * _GIB, ge=1, description="All uploads of everybody.")
    free_disk: int = Field(default=1 * _GIB, ge=0, description="What uploads leave free on the disk.")
    abandoned_after: float = Field(default=7 * _DAY, gt=0, description="An upload that nobody goes on with is deleted.")
    silence: float = Field(default=30.0, gt=0, description="A connection that sends nothing for so long is given up.")
