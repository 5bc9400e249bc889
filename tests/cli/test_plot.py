"""Curves in the terminal."""

from __future__ import annotations

import math

from glassbox.cli.plot import plot

LINE = [(step, 1.0 / step) for step in range(1, 41)]


def colours_of(text) -> set[str]:
    """The colours that cells of the picture have, below the names."""
    names = text.plain.index("\n")
    return {
        str(span.style) for span in text.spans if span.start > names and "⠀" not in text.plain[span.start : span.end]
    }


def test_curves_that_are_one_show_all_their_colours_in_turns():
    alone = plot({"a_loss": LINE}, width=80, colour=True)
    together = plot({"a_loss": LINE, "b_loss": LINE, "c_loss": LINE}, width=80, colour=True)
    assert alone is not None
    assert together is not None
    assert together.plain.partition("\n")[2] == alone.plain.partition("\n")[2]
    assert len(colours_of(together)) == len(colours_of(alone)) + 2


def test_of_many_points_the_extremes_are_kept():
    many = [(step, math.sin(step)) for step in range(1, 50_001)]
    many[30_000] = (30_001, 40.0)
    drawn = plot({"loss": many}, width=80, colour=False)
    assert drawn is not None
    assert "40" in drawn.plain
    assert "50,000" in drawn.plain


def test_less_than_two_numbers_are_no_curve():
    assert plot({"loss": [(1, 2.0), (2, math.nan)]}, width=80, colour=False) is None


def test_a_plot_is_as_high_as_asked():
    drawn = plot({"loss": LINE}, width=80, colour=False, height=10)
    assert drawn is not None
    assert len(drawn.plain.strip().splitlines()) <= 11
