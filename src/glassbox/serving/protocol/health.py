"""`GET /health`: is the model ready, and how busy is it?"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """rows: answers that can be written side by side. waiting: requests that have no row yet."""

    status: Literal["ready", "failing"]
    model: str
    pid: int
    rows: int
    busy: int
    waiting: int
