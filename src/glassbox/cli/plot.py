"""Curves in the terminal, eighty columns wide, from the metrics of a run."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence

from rich.text import Text

from glassbox.cli.numbers import measured, number
from glassbox.workspace.curves import Curve, thinned

_COLOURS = ("red", "cyan", "yellow", "green", "blue", "magenta")
HEIGHT = 18
WIDEST = 100
_DASH = 3  # cells: where curves lie on one another, so long is each on top before the next
_OUTSIDE = 12  # cells of a row that the axis takes, about


def plot(chosen: dict[str, Curve], *, width: int, colour: bool, height: int = HEIGHT) -> Text | None:
    """Curves over the step, the last value of each above them; None unless some curve has two finite points.

    Where curves lie on one another, their colours take turns, so that none hides the others.
    """
    drawn = {name: [point for point in curve if math.isfinite(point[1])] for name, curve in chosen.items()}
    drawn = {name: curve for name, curve in drawn.items() if len(curve) > 1}
    if not drawn:
        return None
    text = Text(no_wrap=True)
    for place, (name, curve) in enumerate(drawn.items()):
        text.append("— ", _COLOURS[place % len(_COLOURS)] if colour else "")
        text.append(f"{name.replace('_', ' ')} {measured(curve[-1][1])}    ")
    text.append("\n")
    shown = [thinned(curve, 4 * width) for curve in drawn.values()]  # of each half cell the lowest and the highest
    text.append_text(Text.from_ansi(_canvas(shown, width, height, colour=colour)))
    return text


def _canvas(drawn: Sequence[Curve], width: int, height: int, *, colour: bool) -> str:
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    for place, curve in [*enumerate(drawn), *_dashes(drawn, width)]:
        steps, values = zip(*curve, strict=True)
        line = figure.signal(list(steps), list(values), marker=_marker(place))
        line.lines()
        figure.draw(line)
    ticks = round_steps(min(curve[0][0] for curve in drawn), max(curve[-1][0] for curve in drawn))
    figure.ruler("x").ticks(ticks, [number(step) for step in ticks])
    figure.label("step")
    return figure.build().string(colorless=not colour)


def _dashes(drawn: Sequence[Curve], width: int) -> Iterator[tuple[int, Curve]]:
    """Pieces of the curves in turn, to be drawn over the whole ones: each with the place of its curve."""
    if len(drawn) < 2:
        return
    first, last = min(curve[0][0] for curve in drawn), max(curve[-1][0] for curve in drawn)
    pieces = max(1, (width - _OUTSIDE) // _DASH)
    for piece in range(pieces):
        place = piece % len(drawn)
        begin, end = (first + (last - first) * (piece + more) / pieces for more in (0, 1))
        points = [(step, value) for step, value in drawn[place] if begin <= step <= end]
        if len(points) > 1:
            yield place, points


def round_steps(first: int, last: int) -> list[int]:
    """A few whole numbers for the axis: the ends, and between them multiples of 1, 2 or 5 times a power of ten."""
    paces = (factor * 10**power for power in range(20) for factor in (1, 2, 5))
    pace = next(pace for pace in paces if (last - first) / pace <= 6)
    between = range(-(-first // pace) * pace, last + 1, pace)
    return [first, *(step for step in between if step - first >= pace / 2 and last - step >= pace / 2), last]


def _marker(place: int) -> object:
    import plotext

    braille = "⣿".encode(sys.stdout.encoding or "utf-8", "ignore")
    return plotext.marker("braille" if braille else "*", _COLOURS[place % len(_COLOURS)])
