"""Weights between zero and one as a table in a terminal: each cell coloured, its number in per cent in it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

Colour = tuple[int, int, int]

ATTENTION: tuple[Colour, Colour] = ((18, 32, 24), (104, 214, 138))
PROBABILITY: tuple[Colour, Colour] = ((16, 30, 34), (84, 206, 216))
"""What zero and one look like; between them the colour is mixed."""

_INK: tuple[Colour, Colour] = ((255, 255, 255), (0, 0, 0))  # on a dark cell, on a bright one
_BRIGHT = 0.54  # from this share on black is read more easily than white: either has a contrast of 4.5 to 1


def heatmap(weights: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], title: str) -> Text:
    """Rows of weights with a name before each row and above each column."""
    margin = max(map(len, rows))
    cell = max(4, *(len(column) + 1 for column in columns))
    drawn = Text(no_wrap=True)
    drawn.append(f"{title}\n", "dim")
    drawn.append(" " * margin + "".join(column.rjust(cell) for column in columns) + "\n", "dim")
    for name, row in zip(rows, weights, strict=True):
        drawn.append(name.rjust(margin), "dim")
        for weight in row:
            drawn.append(f"{100 * weight:.0f} ".rjust(cell), shade(weight, ATTENTION))
        drawn.append("\n")
    return drawn


def bar(weight: float, width: int) -> Text:
    """A probability as a bar, and what is missing to one as blanks."""
    filled = round(weight * width)
    return Text.assemble((" " * filled, f"on {_hex(PROBABILITY[1])}"), " " * (width - filled))


def shade(weight: float, scale: tuple[Colour, Colour]) -> str:
    """The style of a cell: its ground mixed from the ends of the scale, and ink that can be read on it."""
    share = min(1.0, max(0.0, weight))
    red, green, blue = (round(low + share * (high - low)) for low, high in zip(*scale, strict=True))
    return f"{_hex(_INK[share > _BRIGHT])} on {_hex((red, green, blue))}"


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
