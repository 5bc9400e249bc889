"""The files of a saved tokenizer: what they are called, and how they are read.

Apart from `loading`, which knows every kind of tokenizer, so that each kind can use it without knowing the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput

DESCRIPTION = "glassbox.json"
TOKENIZER_JSON = "tokenizer.json"


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises BadInput if the file can't be read or holds anything else."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}.", "Check the path and its permissions.") from None
    except (ValueError, RecursionError) as error:  # ValueError: neither JSON nor UTF-8
        raise BadInput(f"{path} isn't JSON: {error}.", "Copy or make the tokenizer again.") from None
    if not isinstance(value, dict):
        raise BadInput(
            f"{path} should hold a JSON object, not {type(value).__name__}.", "Copy or make the tokenizer again."
        )
    return value
