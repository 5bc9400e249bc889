"""Numbers as bars from a common zero, each with its name and the number itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from glassbox.pictures.colours import Part, Theme, hexadecimal
from glassbox.pictures.drawing import SIZE, Drawing, text_width
from glassbox.pictures.figure import Table, number, shortened

LABEL = 32
LENGTH = 360.0  # pixels of the longest bar
LINE = 18.0
GAP = 8.0


@dataclass(frozen=True)
class Bars:
    """shown: the numbers as they are written; by default with three digits. Bars below zero go to the left."""

    title: str
    names: Sequence[str]
    values: Sequence[float]
    part: Part | None = None
    shown: Sequence[str] = ()

    def table(self) -> Table:
        return ["", "value"], [list(row) for row in zip(self.names, self._written, strict=True)]

    @property
    def _written(self) -> Sequence[str]:
        return self.shown or [number(value) for value in self.values]

    @property
    def _ends(self) -> tuple[float, float]:
        """The lowest and the highest value, zero among them."""
        finite = [value for value in self.values if math.isfinite(value)]
        return min(0.0, *finite, 0.0), max(0.0, *finite, 0.0)

    def draw(self, theme: Theme) -> Drawing:
        left = max((text_width(shortened(name, LABEL)) for name in self.names), default=0) + GAP
        written = max(map(text_width, self._written), default=0)
        drawing = Drawing(left + LENGTH + GAP + written, LINE * len(self.names), theme)
        low, high = self._ends
        unit = LENGTH / ((high - low) or 1)
        zero = left - low * unit
        for place, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
            y = place * LINE
            drawing.text(left - GAP, y + LINE / 2 + SIZE / 3, shortened(name, LABEL), theme.quiet, anchor="end")
            if math.isfinite(value):
                length = abs(value) * unit
                start = zero if value >= 0 else zero - length
                fill = theme.part(self.part) if self.part else theme.signed(math.copysign(1, value))
                drawing.rectangle(start, y + 3, length, LINE - 6, fill, title=f"{name}: {self._written[place]}")
            drawing.text(left + LENGTH + GAP, y + LINE / 2 + SIZE / 3, self._written[place])
        drawing.line(zero, 0, zero, drawing.height)
        return drawing

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        names = [shortened(name, LABEL) for name in self.names]
        left = max(map(cell_len, names), default=0) + 1
        written = max(map(cell_len, self._written), default=0) + 1
        low, high = self._ends
        room = max(10, min(60, width - left - written - 1))
        unit = room / ((high - low) or 1)
        before = round(-low * unit)
        text = Text(no_wrap=True)
        for name, value, shown in zip(names, self.values, self._written, strict=True):
            text.append(" " * (left - 1 - cell_len(name)) + name + " ", "dim")
            cells = round(abs(value) * unit) if math.isfinite(value) else 0
            fill = theme.part(self.part) if self.part else theme.signed(math.copysign(1, value))
            lead = before if value >= 0 else max(0, before - cells)
            text.append(" " * lead)
            text.append("█" * cells, hexadecimal(fill) if colour else "")
            text.append(" " * (room - lead - cells) + " " + " " * (written - 1 - cell_len(shown)) + shown + "\n")
        return text
