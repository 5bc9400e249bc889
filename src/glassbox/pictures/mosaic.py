"""Many heatmaps at a glance, small and side by side: all heads of a model, a row for each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from glassbox.pictures.colours import Part, Theme, hexadecimal
from glassbox.pictures.drawing import SIZE, Drawing
from glassbox.pictures.figure import Table, number
from glassbox.pictures.heatmap import SHADES

TILE = 112.0  # pixels of a tile, about
CELLS = 24  # of a tile's side in a terminal, at most
GAP = 16.0

Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Mosaic:
    """tiles: rows of tiles, each a square of shares from 0 to 1; NaN where there is none. names: of rows and tiles."""

    title: str
    tiles: Sequence[Sequence[Matrix]]
    names: Sequence[Sequence[str]]
    part: Part

    def table(self) -> Table:
        """A line for each cell of each tile that has a number."""
        rows = [
            [name, str(row), str(column), number(value)]
            for name, tile in self._each()
            for row, values in enumerate(tile)
            for column, value in enumerate(values)
            if math.isfinite(value)
        ]
        return ["", "row", "column", "value"], rows

    def _each(self) -> Iterator[tuple[str, Matrix]]:
        for names, tiles in zip(self.names, self.tiles, strict=True):
            yield from zip(names, tiles, strict=True)

    def draw(self, theme: Theme) -> Drawing:
        side = max((len(tile) for _, tile in self._each()), default=1)
        cell = max(1.0, TILE // side)
        step = cell * side + GAP
        widest = max(map(len, self.tiles), default=0)
        drawing = Drawing(step * widest, (step + SIZE) * len(self.tiles), theme)
        for row, (names, tiles) in enumerate(zip(self.names, self.tiles, strict=True)):
            for column, (name, tile) in enumerate(zip(names, tiles, strict=True)):
                x, y = column * step, row * (step + SIZE)
                drawing.text(x, y + SIZE - 2, name, theme.quiet, size=10)
                self._draw_tile(drawing, x, y + SIZE + 2, cell, tile)
        return drawing

    def _draw_tile(self, drawing: Drawing, x: float, y: float, cell: float, tile: Matrix) -> None:
        side = cell * len(tile)
        drawing.rectangle(x, y, side, side, None, outline=drawing.theme.hairline)
        for row, values in enumerate(tile):
            for column, value in enumerate(values):
                if math.isfinite(value) and value >= 0.01:  # paler cells can't be told from paper
                    fill = drawing.theme.share(value, self.part)
                    drawing.rectangle(x + column * cell, y + row * cell, cell, cell, fill)

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        text = Text(no_wrap=True)
        side = max((len(tile) for _, tile in self._each()), default=1)
        pooled = -(-side // CELLS)
        shown = -(-side // pooled)
        across = max(1, (width + 2) // (max(shown, 5) + 2))
        for names, tiles in zip(self.names, self.tiles, strict=True):
            for first in range(0, len(tiles), across):
                some = [_pooled(tile, pooled) for tile in tiles[first : first + across]]
                heads = (name.ljust(max(shown, 5)) for name in names[first : first + across])
                text.append("  ".join(heads).rstrip() + "\n", "dim")
                for line in range(0, shown, 2 if colour else 1):
                    for place, tile in enumerate(some):
                        text.append("  " if place else "")
                        self._print_line(text, theme, tile, line, colour=colour)
                        text.append(" " * (max(shown, 5) - shown))
                    text.append("\n")
        if pooled > 1:
            text.append(f"each cell is the largest of {pooled} x {pooled}; --save shows all\n", "dim")
        return text

    def _print_line(self, text: Text, theme: Theme, tile: Matrix, line: int, *, colour: bool) -> None:
        if not colour:
            text.append("".join(_shade(value) for value in tile[line]))
            return
        below = tile[line + 1] if line + 1 < len(tile) else [math.nan] * len(tile[line])
        for upper, lower in zip(tile[line], below, strict=True):
            ends = (theme.share(value, self.part) if math.isfinite(value) else theme.paper for value in (upper, lower))
            text.append("▀", "{} on {}".format(*map(hexadecimal, ends)))


def _pooled(tile: Matrix, by: int) -> Matrix:
    """The largest of each square of `by` x `by` cells."""
    if by == 1:
        return tile
    return [
        [
            max((value for values in tile[row : row + by] for value in values[column : column + by]
                 if math.isfinite(value)), default=math.nan)
            for column in range(0, len(tile[0]), by)
        ]
        for row in range(0, len(tile), by)
    ]  # fmt: skip


def _shade(value: float) -> str:
    return SHADES[min(len(SHADES) - 1, round(value * (len(SHADES) - 1)))] if math.isfinite(value) else " "
