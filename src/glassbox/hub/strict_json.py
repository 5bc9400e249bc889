"""JSON from strangers: an object, each name once, and no NaN or Infinity, which JSON doesn't have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from glassbox.errors import BadInput

LARGEST_FILE = 200_000_000  # bytes; the largest tokenizer.json of a published model has 35 million


def read_object(path: Path) -> dict[str, Any]:
    """The object in a file. Raises BadInput for a file that can't be read, is too large, or holds anything else."""
    remedy = "Copy or download the file again."
    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise BadInput(f"{path} has {size:,} bytes, and at most {LARGEST_FILE:,} are read.", remedy)
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}.", "Check the path and its permissions.") from None
    return parse_object(content, str(path), remedy)


def parse_object(content: bytes, source: str, remedy: str) -> dict[str, Any]:
    """The object in some bytes. Raises BadInput, whose problem begins with `source`."""
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # ValueError: neither JSON nor UTF-8
        raise BadInput(f"{source} isn't JSON: {error}.", remedy) from None
    if not isinstance(value, dict):
        raise BadInput(f"{source} should hold a JSON object, not {type(value).__name__}.", remedy)
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"it names {name!r:.60} twice")
        values[name] = value
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number of JSON")
