"""A table of numbers as colours: shares from paper to a part's colour, signed values from magenta to cyan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from glassbox.pictures.colours import Colour, Part, Theme, hexadecimal, readable_on
from glassbox.pictures.drawing import SIZE, Drawing, text_width
from glassbox.pictures.figure import Table, number, shortened

ROW_NAME, COLUMN_NAME = 32, 14  # characters that are shown of them
SHADES = " ░▒▓█"
LARGE, SMALL = 34.0, 14.0  # pixels of a cell, with its number in it and without
NUMBERED = 16  # columns that have room for numbers
GAP = 6.0


@dataclass(frozen=True)
class Heatmap:
    """values: rows of columns; NaN where there is none. part: shares of 0 to 1 in its colour; None: signed values.

    limit: the value of the strongest colour; by default 1 for shares, the largest size of all for signed values.
    """

    title: str
    values: Sequence[Sequence[float]]
    rows: Sequence[str]
    columns: Sequence[str]
    part: Part | None = None
    limit: float | None = None

    @property
    def scale(self) -> float:
        """The value of the strongest colour."""
        if self.limit is not None:
            return self.limit or 1.0
        if self.part is not None:
            return 1.0
        return max((abs(value) for row in self.values for value in row if math.isfinite(value)), default=1.0) or 1.0

    @property
    def range(self) -> str:
        """What the ends of the scale stand for."""
        return f"0 to {number(self.scale)}" if self.part else f"-{number(self.scale)} to {number(self.scale)}"

    def table(self) -> Table:
        return ["", *self.columns], [
            [name, *(number(value) for value in row)] for name, row in zip(self.rows, self.values, strict=True)
        ]

    def _colour(self, value: float, theme: Theme) -> Colour:
        if not math.isfinite(value):
            return theme.paper
        return theme.signed(value / self.scale) if self.part is None else theme.share(value / self.scale, self.part)

    # ---- as a drawing ----

    def draw(self, theme: Theme) -> Drawing:
        names = [shortened(name, ROW_NAME) for name in self.rows]
        heads = [shortened(name, COLUMN_NAME) for name in self.columns]
        numbered = len(self.columns) <= NUMBERED
        cell = LARGE if numbered else SMALL
        left = max(map(text_width, names), default=0) + GAP
        top = max(map(text_width, heads), default=0) + GAP
        right, bottom = left + cell * len(heads), top + cell * len(names)
        drawing = Drawing(max(right, left + text_width(self.range)) + GAP, bottom + 2 * SIZE, theme)
        for place, head in enumerate(heads):
            drawing.text(left + (place + 0.5) * cell + SIZE / 3, top - GAP / 2, head, theme.quiet, turned=True)
        for place, (name, row) in enumerate(zip(names, self.values, strict=True)):
            y = top + place * cell
            drawing.text(left - GAP / 2, y + cell / 2 + SIZE / 3, name, theme.quiet, anchor="end")
            for column, value in enumerate(row):
                self._draw_cell(drawing, left + column * cell, y, cell, (place, column), value, numbered=numbered)
        drawing.text(left, bottom + 1.5 * SIZE, self.range, theme.quiet)
        return drawing

    def _draw_cell(
        self, drawing: Drawing, x: float, y: float, cell: float, place: tuple[int, int], value: float, *, numbered: bool
    ) -> None:
        if not math.isfinite(value):
            return
        ground = self._colour(value, drawing.theme)
        title = f"{self.rows[place[0]]} → {self.columns[place[1]]}: {value:.6g}"
        drawing.rectangle(x, y, cell - 1, cell - 1, ground, title=title)
        if numbered:
            shown = self._in_cell(value).strip()
            middle = x + (cell - 1) / 2
            drawing.text(middle, y + cell / 2 + 3.5, shown, readable_on(ground), size=10, anchor="middle")

    # ---- in a terminal ----

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        margin = min(ROW_NAME, max(map(cell_len, self.rows), default=0)) + 1
        widest = max((cell_len(self._in_cell(value)) for row in self.values for value in row), default=1)
        cell = max(widest, *(min(6, cell_len(name)) for name in self.columns), 2) + 1 if self.columns else 1
        if margin + cell * len(self.columns) <= width:
            return self._numbers(theme, margin, cell, colour=colour)
        return self._blocks(theme, margin, width, colour=colour)

    def _numbers(self, theme: Theme, margin: int, cell: int, *, colour: bool) -> Text:
        """Each cell with its number in it."""
        text = Text(no_wrap=True)
        heads = (shortened(name, cell - 1) for name in self.columns)
        text.append(" " * margin + "".join(_right(head, cell) for head in heads) + "\n", "dim")
        for name, row in zip(self.rows, self.values, strict=True):
            text.append(_right(shortened(name, ROW_NAME), margin - 1) + " ", "dim")
            for value in row:
                text.append(_right(self._in_cell(value), cell), self._style(value, theme) if colour else "")
            text.append("\n")
        return self._with_range(text)

    def _blocks(self, theme: Theme, margin: int, width: int, *, colour: bool) -> Text:
        """With colour two rows in a line of half blocks, without it a shade for each cell, signs before it."""
        cells = 1 if colour or self.part else 2
        shown = max(1, (width - margin) // cells)
        text = Text(no_wrap=True)
        values = [row[:shown] for row in self.values]
        if colour:
            for place in range(0, len(values), 2):
                text.append(_right(shortened(self.rows[place], ROW_NAME), margin - 1) + " ", "dim")
                below = values[place + 1] if place + 1 < len(values) else [math.nan] * len(values[place])
                for upper, lower in zip(values[place], below, strict=True):
                    ends = (hexadecimal(self._colour(value, theme)) for value in (upper, lower))
                    text.append("▀", "{} on {}".format(*ends))
                text.append("\n")
        else:
            for name, row in zip(self.rows, values, strict=True):
                text.append(_right(shortened(name, ROW_NAME), margin - 1) + " ")
                text.append("".join(self._shade(value) for value in row) + "\n")
        if shown < len(self.columns):
            text.append(f"the first {shown} of {len(self.columns)} columns; --save shows all\n", "dim")
        return self._with_range(text)

    def _with_range(self, text: Text) -> Text:
        text.append(self.range + (", in per cent\n" if self._percent else "\n"), "dim")
        return text

    @property
    def _percent(self) -> bool:
        return self.part is not None and self.scale == 1

    def _in_cell(self, value: float) -> str:
        if not math.isfinite(value):
            return ""
        return f"{100 * value:.0f}" if self._percent else f"{value:.2f}" if self.scale < 100 else f"{value:.0f}"

    def _shade(self, value: float) -> str:
        if not math.isfinite(value):
            return " " if self.part else "  "
        shade = SHADES[min(len(SHADES) - 1, round(abs(value) / self.scale * (len(SHADES) - 1)))]
        return shade if self.part else f"{'-' if value < 0 else '+'}{shade}"

    def _style(self, value: float, theme: Theme) -> str:
        if not math.isfinite(value):
            return ""
        ground = self._colour(value, theme)
        return f"{hexadecimal(readable_on(ground))} on {hexadecimal(ground)}"


def _right(text: str, cells: int) -> str:
    return " " * (cells - cell_len(text)) + text if cell_len(text) <= cells else set_cell_size(text, cells)
