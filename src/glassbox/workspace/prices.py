"""The price table: `prices.toml` in the workspace, which a person writes by hand or through the workshop.

It begins without any price, because prices change from month to month and a wrong one looks like a right one. Every
entry says what it costs, in which currency, since when, and where that stands.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input

PRICES_FILE = "prices.toml"

TEMPLATE = """\
# What things cost, for `glassbox tokenizer cost` and `glassbox spec compare --machine`.
# The table is empty until you fill it: take the marks off the lines below, and put in names and prices of your own.
#
# [tokens."name of the model"]
# currency = "EUR"
# input = 0.00           # a million tokens read
# output = 0.00          # a million tokens written
# date = 2026-01-31      # when you looked
# source = "https://..."  # where it stands
#
# [machines."name of the machine"]
# currency = "EUR"
# hour = 0.00            # one hour of it
# flops = 0              # optional: training FLOP/s that it reaches, to predict times on it
# date = 2026-01-31
# source = "https://..."
"""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    currency: str = Field(min_length=1, max_length=20)
    date: date
    source: str = Field(min_length=1)


class TokenPrice(_Entry):
    """Of a million tokens."""

    input: Decimal = Field(ge=0, max_digits=30, decimal_places=15)
    output: Decimal = Field(ge=0, max_digits=30, decimal_places=15)


class MachinePrice(_Entry):
    """Of an hour. flops: training FLOP/s that the machine reaches, if that is known."""

    hour: Decimal = Field(ge=0, max_digits=30, decimal_places=15)
    flops: float | None = Field(default=None, gt=0)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: dict[str, TokenPrice] = {}
    machines: dict[str, MachinePrice] = {}


@dataclass(frozen=True)
class Prices:
    """What the table holds, by name."""

    file: Path
    tokens: Mapping[str, TokenPrice] = field(default_factory=dict[str, TokenPrice])
    machines: Mapping[str, MachinePrice] = field(default_factory=dict[str, MachinePrice])

    @classmethod
    def load(cls, folder: Path) -> Prices:
        """The table of a workspace's folder; an empty one that explains itself is written where there is none.

        Raises BadInput for a table that can't be read, naming the entry and the field.
        """
        file = folder / PRICES_FILE
        with disk_faults_as_bad_input(file):
            if not file.exists():
                atomic.write_file(file, TEMPLATE.encode())
            content = file.read_bytes()
        try:
            table = _Table.model_validate(tomllib.loads(content.decode(), parse_float=Decimal))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(
                f"{file} isn't TOML: {error}.", "Mend it, or delete it to begin with an empty one."
            ) from None
        except ValidationError as error:
            raise BadInput(f"{file}: {_fault(error)}.", "Mend that entry; the file's first lines show how.") from None
        return cls(file, table.tokens, table.machines)

    def save(self) -> None:
        """Replace the file by this table, below the lines that explain it; other remarks in it are lost.

        Raises BadInput where the disk refuses; then the file is as it was.
        """
        tables = {"tokens": self.tokens, "machines": self.machines}
        entries = [_toml(table, name, entry) for table, held in tables.items() for name, entry in held.items()]
        with disk_faults_as_bad_input(self.file):
            atomic.write_file(self.file, "\n".join([TEMPLATE, *entries]).encode())

    def of_tokens(self, name: str) -> TokenPrice:
        """Raises BadInput, naming what there is, for a name without a price."""
        return self._find(self.tokens, name, "tokens of a model")

    def of_machine(self, name: str) -> MachinePrice:
        """Raises BadInput, naming what there is, for a name without a price."""
        return self._find(self.machines, name, "machine")

    def _find(self, entries: Mapping[str, Any], name: str, what: str) -> Any:
        if name in entries:
            return entries[name]
        there = f"it has {', '.join(entries)}" if entries else "it has none yet"
        raise BadInput(
            f"The price table has no price for a {what} called {name!r}; {there}.",
            f"Enter it in {self.file}, whose first lines show how.",
        )


def _toml(table: str, name: str, entry: TokenPrice | MachinePrice) -> str:
    """One entry as TOML, whose strings are JSON's, and whose numbers and dates are written bare."""
    lines = [f"[{table}.{_string(name)}]"]
    for key, value in entry.model_dump(exclude_none=True).items():
        match value:
            case str():
                written = _string(value)
            case Decimal():
                written = f"{value:f}"  # TOML has no exponent without a digit before it, and a person reads digits
            case float():
                written = repr(value)
            case _:
                written = value.isoformat()
        lines.append(f"{key} = {written}")
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    """JSON's escapes are TOML's; only U+007F, which JSON leaves bare, TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"
