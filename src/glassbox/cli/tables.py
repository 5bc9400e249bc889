"""Tables without lines: a quiet heading, numbers aligned on the right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from glassbox.cli.numbers import number

STATE_STYLES = {
    "queued": "dim",
    "running": "cyan",
    "paused": "yellow",
    "finished": "",
    "failed": "red",
    "interrupted": "yellow",
    "cancelled": "dim",
    "damaged": "red",
}


def listing(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], numeric: Iterable[str] = ()) -> Table:
    """One row for each thing; columns named in `numeric` are aligned on the right."""
    right = set(numeric)
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def facts_table(facts: Mapping[str, Any]) -> Table:
    """Names beside values; what is nested is indented below its name."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    _add_facts(table, facts, "")
    return table


def _add_facts(table: Table, facts: Mapping[str, Any], indent: str) -> None:
    for name, value in facts.items():
        label = indent + str(name).replace("_", " ")
        if isinstance(value, Mapping) and value:
            table.add_row(Text(label), "")
            _add_facts(table, value, indent + "  ")
        else:
            table.add_row(Text(label), Text(_shown(value)))


def _shown(value: Any) -> str:
    if value is None or value in ([], {}, ()):
        return "none"
    if isinstance(value, list | tuple):
        return "\n".join(_shown(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return number(value)
