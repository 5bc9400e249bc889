"""What every picture can do: be drawn, be printed, and give its numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.text import Text

from glassbox.pictures.colours import Theme
from glassbox.pictures.drawing import Drawing

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The heads of the columns, and the rows."""


class Figure(Protocol):
    """A picture of numbers; `title` says what they are."""

    @property
    def title(self) -> str: ...

    def draw(self, theme: Theme) -> Drawing:
        """On a ground of its own, without the title."""
        ...

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        """For a terminal of so many columns, without the title; without colour it says as much in characters."""
        ...

    def table(self) -> Table:
        """Every number of it."""
        ...


def shortened(text: str, cells: int) -> str:
    """At most so many characters, the last one an ellipsis where some are missing."""
    return text if len(text) <= cells else text[: cells - 1] + "…"


def number(value: float) -> str:
    """Three digits that carry meaning: 0.0123 · 4.56 · 1.2e+05"""
    if value != value:
        return "–"
    return f"{value:.3g}"
