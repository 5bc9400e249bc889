"""What the bodies of requests have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints


class Body(BaseModel):
    """A body of a request: a field that it doesn't have is refused, so that nothing misspelled is lost silently."""

    model_config = ConfigDict(extra="forbid")


Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)]
"""Text of one line, without control characters."""
