"""A text in its tokens: each on a ground of its own, shaded by a number where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from glassbox.pictures.colours import Colour, Part, Theme, hexadecimal, readable_on
from glassbox.pictures.drawing import SIZE, Drawing, text_width
from glassbox.pictures.figure import Table, number

WIDTH = 760.0  # pixels of a line
LINE = 36.0
GAP = 3.0
_PICTURES = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def visible(data: bytes) -> str:
    """A token's bytes so that each can be seen: blanks as marks, what is no whole character in hexadecimal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", errors="surrogateescape")
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no character, as `surrogateescape` keeps it
        return f"‹{code - 0xDC00:02X}›"
    if code < 0x20 or code == 0x7F:
        return _PICTURES.get(character, chr(0x2400 + code) if code < 0x20 else "␡")
    return _PICTURES.get(character, character if character.isprintable() else f"‹U+{code:04X}›")


@dataclass(frozen=True)
class Tokens:
    """pieces: what each token spells. notes: what stands below each, such as its id.

    values: a number for each, that its ground shows; NaN for none. part: in whose colour; scale: the strongest.
    special: which of them are marks without text of their own.
    """

    title: str
    pieces: Sequence[bytes]
    notes: Sequence[str] = ()
    values: Sequence[float] = ()
    part: Part = "data"
    scale: float = 1.0
    special: Sequence[bool] = ()

    def table(self) -> Table:
        columns = ["token", *(["note"] if self.notes else []), *(["value"] if self.values else [])]
        rows = [[visible(piece)] for piece in self.pieces]
        for each in (self.notes, [number(value) for value in self.values]):
            for row, cell in zip(rows, each, strict=False):
                row.append(cell)
        return columns, rows

    def _ground(self, place: int, theme: Theme) -> Colour:
        """By its value; without values every second one is raised, so that neighbours can be told apart."""
        if self.values:
            value = self.values[place]
            return theme.share(value / self.scale, self.part) if math.isfinite(value) else theme.paper
        return theme.hairline if place % 2 else theme.raised

    def _is_special(self, place: int) -> bool:
        return bool(self.special) and self.special[place]

    def draw(self, theme: Theme) -> Drawing:
        drawing = Drawing(WIDTH, 0, theme)
        x, y = 0.0, 0.0
        for place, piece in enumerate(self.pieces):
            shown, note = visible(piece), self.notes[place] if self.notes else ""
            width = max(text_width(shown), text_width(note, 9)) + 6
            if x and x + width > WIDTH:
                x, y = 0.0, y + LINE
            ground = self._ground(place, theme)
            title = f"{shown}  {note}" + (f"  {number(self.values[place])}" if self.values else "")
            outline = theme.quiet if self._is_special(place) else None
            drawing.rectangle(x, y, width, 18, ground, title=title, outline=outline, dashed=True, radius=3)
            drawing.text(x + width / 2, y + 13, shown, readable_on(ground), anchor="middle")
            if note:
                drawing.text(x + width / 2, y + 28, note, theme.quiet, size=9, anchor="middle")
            x += width + GAP
            drawing.width = max(drawing.width, x)
        drawing.height = y + LINE
        if self.values:
            drawing.text(0, drawing.height + SIZE, f"0 to {number(self.scale)}", theme.quiet)
            drawing.height += 1.5 * SIZE
        return drawing

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        text = Text(no_wrap=True)
        used = 0
        for place, piece in enumerate(self.pieces):
            shown = visible(piece)
            if not colour and self.values and math.isfinite(self.values[place]):
                shown += f"({number(self.values[place])})"
            if used and used + cell_len(shown) + 1 > width:
                text.append("\n")
                used = 0
            ground = self._ground(place, theme)
            style = f"{hexadecimal(readable_on(ground))} on {hexadecimal(ground)}" if colour else ""
            text.append(shown, style + (" underline" if self._is_special(place) else ""))
            used += cell_len(shown)
            if not colour and place + 1 < len(self.pieces):
                text.append("|")
                used += 1
            if piece.endswith(b"\n"):
                text.append("\n")
                used = 0
        text.append("\n" if used else "")
        if self.values:
            text.append(f"0 to {number(self.scale)}\n", "dim")
        return text
