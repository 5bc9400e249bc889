"""A table as a picture: words on the left, numbers on the right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.text import Text

from glassbox.pictures.colours import Theme
from glassbox.pictures.drawing import Drawing, text_width
from glassbox.pictures.figure import Table

LINE = 18.0
GAP = 24.0


@dataclass(frozen=True)
class Listing:
    """numeric: the columns whose cells are aligned on the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Collection[str] = field(default_factory=frozenset[str])

    def table(self) -> Table:
        return self.columns, self.rows

    def draw(self, theme: Theme) -> Drawing:
        widths = [max(map(text_width, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        drawing = Drawing(sum(widths) + GAP * (len(widths) - 1), LINE * (len(self.rows) + 1) + 4, theme)
        for line, cells in enumerate((self.columns, *self.rows)):
            x, y = 0.0, (line + 1) * LINE - 5 + (4 if line else 0)
            colour = theme.ink if line else theme.quiet
            for name, cell, width in zip(self.columns, cells, widths, strict=True):
                if name in self.numeric:
                    drawing.text(x + width, y, cell, colour, anchor="end")
                else:
                    drawing.text(x, y, cell, colour)
                x += width + GAP
        drawing.line(0, LINE + 1, drawing.width, LINE + 1)
        return drawing

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        widths = [max(map(cell_len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        text = Text(no_wrap=True)
        for line, cells in enumerate((self.columns, *self.rows)):
            shown = [
                " " * (width - cell_len(cell)) + cell if name in self.numeric else cell + " " * (width - cell_len(cell))
                for name, cell, width in zip(self.columns, cells, widths, strict=True)
            ]
            text.append("  ".join(shown).rstrip() + "\n", "" if line else "dim")
        return text
