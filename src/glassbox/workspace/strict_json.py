"""JSON that every reader takes: Python writes NaN and Infinity, which JSON doesn't have; here they become words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast


def to_json(value: object, *, indent: int | None = None) -> str:
    """Raises TypeError for what JSON cannot hold."""
    separators = (",", ":") if indent is None else None
    try:
        return json.dumps(value, ensure_ascii=False, separators=separators, indent=indent, allow_nan=False)
    except ValueError:
        value = with_words(value)
        return json.dumps(value, ensure_ascii=False, separators=separators, indent=indent, allow_nan=False)


def with_words(value: Any) -> Any:
    """The same, with "NaN", "Infinity" and "-Infinity" in the place of those numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: with_words(one) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [with_words(one) for one in cast("list[Any]", value)]
    return value
