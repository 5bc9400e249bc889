"""What the bodies of requests have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints


class Body(BaseModel):
    """A body of a request. A field that it doesn't have is refused, so that nothing misspelled is lost; so is a
    value of another type, such as "3" or true for a number.
    """

    model_config = ConfigDict(extra="forbid", strict=True)


Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)]
"""Text of one line, without control characters."""
