"""Who looks at whom, as arcs over the tokens: the heavier the look, the thicker and stronger the arc."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from glassbox.pictures.colours import Part, Theme, hexadecimal
from glassbox.pictures.drawing import SIZE, Drawing, text_width
from glassbox.pictures.figure import Table, number

FAINTEST = 0.05  # looks that weigh less are no arcs
THICKEST = 5.0  # pixels
GAP = 14.0
LOOKS = 3  # of each token that a terminal shows


@dataclass(frozen=True)
class Arcs:
    """weights: row i says how much token i looks at each token, from 0 to 1; NaN where it must not."""

    title: str
    tokens: Sequence[str]
    weights: Sequence[Sequence[float]]
    part: Part

    def table(self) -> Table:
        rows = [[self.tokens[row], self.tokens[column], number(weight)] for row, column, weight in self._looks(0.0)]
        return ["token", "looks at", "weight"], rows

    def _looks(self, least: float) -> Iterator[tuple[int, int, float]]:
        for row, weights in enumerate(self.weights):
            for column, weight in enumerate(weights):
                if math.isfinite(weight) and weight >= least:
                    yield row, column, weight

    def draw(self, theme: Theme) -> Drawing:
        middles: list[float] = []
        x = 0.0
        for token in self.tokens:
            width = max(text_width(token), SIZE)
            middles.append(x + width / 2)
            x += width + GAP
        looks = [look for look in self._looks(FAINTEST) if look[0] != look[1]]
        height = max((abs(middles[row] - middles[column]) / 2 for row, column, _ in looks), default=0.0) + THICKEST
        drawing = Drawing(x, height + 3 * SIZE, theme)
        for row, column, weight in sorted(looks, key=lambda look: look[2]):  # the strongest on top
            colour = theme.share(weight, self.part)
            title = f"{self.tokens[row]} → {self.tokens[column]}: {weight:.6g}"
            drawing.arc(middles[row], middles[column], height, colour, thickness=THICKEST * weight, title=title)
        for token, middle in zip(self.tokens, middles, strict=True):
            drawing.text(middle, height + 1.3 * SIZE, token, anchor="middle")
        drawing.text(0, height + 2.8 * SIZE, f"looks of at least {FAINTEST:.0%}", theme.quiet)
        return drawing

    def printed(self, theme: Theme, *, width: int, colour: bool) -> Text:
        """Each token with the ones that it looks at most."""
        left = max(map(cell_len, self.tokens), default=0)
        text = Text(no_wrap=True)
        for row, token in enumerate(self.tokens):
            looks = [(weight, column) for place, column, weight in self._looks(FAINTEST) if place == row]
            text.append(" " * (left - cell_len(token)) + token, "dim")
            text.append(" → " if looks else "\n", "dim")
            for weight, column in sorted(looks, reverse=True)[:LOOKS]:
                shown = f"{self.tokens[column]} {weight:.0%}  "
                text.append(shown, hexadecimal(theme.share(0.3 + 0.7 * weight, self.part)) if colour else "")
            text.append("\n" if looks else "")
        return text
