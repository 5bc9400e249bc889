"""What a checkpoint says about itself, without its tensors: the `state.json` that `training/checkpoints.py` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

RECORD_FILE = "state.json"


@dataclass(frozen=True)
class CheckpointRecord:
    """validation_loss: measured at this very step, if it was. problem: why nothing could be read."""

    validation_loss: float | None = None
    problem: str | None = None


class _Content(BaseModel):
    validation_loss: float | None


class _Signed(BaseModel):
    content: _Content


def read_record(folder: Path) -> CheckpointRecord:
    """Of the checkpoint in this folder."""
    try:
        signed = _Signed.model_validate_json((folder / RECORD_FILE).read_bytes())
    except FileNotFoundError:
        return CheckpointRecord(problem=f"It has no {RECORD_FILE}.")
    except (OSError, ValidationError):
        return CheckpointRecord(problem=f"Its {RECORD_FILE} cannot be read.")
    return CheckpointRecord(signed.content.validation_loss)
