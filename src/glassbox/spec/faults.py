"""What is wrong with a description, field by field, in words that say what to change."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

_SHOWN = 60  # characters of a value that came


@dataclass(frozen=True)
class Fault:
    """field: `width`, `experts.count`; empty where several fields don't go together, which the message then names."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def faults_of(error: ValidationError) -> list[Fault]:
    """Pydantic's findings: the field, what is wrong, what came."""
    found: list[Fault] = []
    for fault in error.errors(include_url=False):
        if fault["type"] == "default_factory_not_called":  # a field that follows from one already named
            continue
        field = ".".join(str(step) for step in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "no such field"
        elif field and fault["type"] != "missing":
            message = f"{message} (it is {_shown(fault['input'])})"
        found.append(Fault(_cut(ascii(field)[1:-1]), message))
    return found


def _shown(value: object) -> str:
    """What came, short and safe to print; an integer of thousands of digits can't even be written."""
    try:
        return _cut(ascii(value))
    except ValueError:
        return f"a number of more than {_SHOWN} digits"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
