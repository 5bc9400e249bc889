"""Shares of a whole as one bar for each thing, the parts in their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from glassbox.pictures.colours import Part, Theme, hexadecimal
from glassbox.pictures.drawing import SIZE, Drawing, text_width
from glassbox.pictures.figure import Table, number, shortened

NAME = 32
LENGTH = 480.0  # pixels of a whole
LINE, GAP = 22.0, 8.0
MARKS = "█▓▒░▚▞"  # that tell parts apart where there is no colour


@dataclass(frozen=True)
class Stacked:
    """parts: name -> its value for each of `names`, and `colours` whose part of a model it is."""

    title: str
    names: Sequence[str]
    parts: Mapping[str, Sequence[float]]
    colours: Mapping[str, Part]

    def table(self) -> Table:
        rows = [
            [name, *(number(values[place]) for values in self.parts.values())] for place, name in enumerate(self.names)
        ]
        return ["", *self.parts], rows

    def _shares(self, place: int) -> dict[str, float]:
        whole = sum(values[place] for values in self.parts.values()) or 1.0
        return {part: values[place] / whole for part, values in self.parts.items() if values[place] > 0}

    def draw(self, theme: Theme) -> Drawing:
        left = max((text_width(shortened(name, NAME)) for name in self.names), default=0) + GAP
        drawing = Drawing(left + LENGTH, LINE * (len(self.names) + 1), theme)
        for place, name in enumerate(self.names):
            drawing.text(left - GAP, (place + 0.5) * LINE + SIZE / 3, shortened(name, NAME), theme.quiet, anchor="end")
            x = left
            for part, share in self._shares(place).items():
                title = f"{name}: {part} {share:.1%}"
                fill = theme.part(self.colours[part])
                drawing.rectangle(x, place * LINE + 3, share * LENGTH, LINE - 6, fill, title=title)
                x += share * LENGTH
        x = left
        for part in self.parts:
            drawing.rectangle(x, drawing.height - 14, 10, 10, theme.part(self.colours[part]))
            drawing.text(x + 14, drawing.height - 5, part, theme.quiet)
            x += 14 + text_width(part) + 2 * GAP
        drawing.width = max(drawing.width, x)
        return drawing

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        names = [shortened(name, NAME) for name in self.names]
        left = max(map(cell_len, names), default=0) + 1
        room = max(10, min(60, width - left))
        marks = {part: "█" if colour else MARKS[place % len(MARKS)] for place, part in enumerate(self.parts)}
        styles = {part: hexadecimal(theme.part(self.colours[part])) if colour else "" for part in self.parts}
        text = Text(no_wrap=True)
        for place, name in enumerate(names):
            text.append(" " * (left - 1 - cell_len(name)) + name + " ", "dim")
            reached, drawn = 0.0, 0
            for part, share in self._shares(place).items():
                reached += share * room
                text.append(marks[part] * (round(reached) - drawn), styles[part])
                drawn = round(reached)
            text.append("\n")
        text.append(" " * left)
        for part in self.parts:
            text.append(marks[part], styles[part])
            text.append(f" {part}  ", "dim")
        text.append("\n")
        return text
