from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.pictures.colours import (
    BLACK,
    DARK,
    HUES,
    LIGHT,
    WHITE,
    Theme,
    contrast,
    hexadecimal,
    mixed,
    oklch,
    readable_on,
    theme_named,
)

UNIT = st.floats(0, 1)
THEMES = pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])


@pytest.mark.parametrize(
    ("lightness", "chroma", "hue", "expected"),
    [  # what CSS Color 4 gives for oklch(): primary colours, black, white, grey
        (0.62796, 0.25768, 29.234, "#ff0000"),
        (0.86644, 0.29483, 142.495, "#00ff00"),
        (0.45201, 0.31321, 264.052, "#0000ff"),
        (0.0, 0.0, 0.0, "#000000"),
        (1.0, 0.0, 0.0, "#ffffff"),
        (0.59987, 0.0, 0.0, "#808080"),
    ],
)
def test_colours_are_those_of_css(lightness: float, chroma: float, hue: float, expected: str):
    assert hexadecimal(oklch(lightness, chroma, hue)) == expected


@given(UNIT, st.floats(0, 0.5), st.floats(0, 360))
def test_what_a_screen_cannot_show_becomes_paler(lightness: float, chroma: float, hue: float):
    assert all(0 <= channel <= 1 for channel in oklch(lightness, chroma, hue))


@given(st.tuples(UNIT, UNIT, UNIT))
def test_ink_can_be_read_on_any_ground(ground: tuple[float, float, float]):
    assert contrast(readable_on(ground), ground) >= 4.5


def test_contrast_runs_from_one_to_twenty_one():
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == pytest.approx(1)


@THEMES
def test_text_and_marks_stand_out_from_their_ground(theme: Theme):
    for ground in (theme.paper, theme.raised):
        assert contrast(theme.ink, ground) >= 4.5
        assert contrast(theme.quiet, ground) >= 4.5
        for part in HUES:
            assert contrast(theme.part(part), ground) >= 3


@THEMES
def test_scales_begin_at_paper_and_end_at_their_colours(theme: Theme):
    assert theme.share(0, "attention") == pytest.approx(theme.paper, abs=2e-3)
    assert theme.signed(0) == pytest.approx(theme.paper, abs=2e-3)
    assert theme.share(1, "attention") == pytest.approx(theme.part("attention"), abs=2e-3)
    assert theme.share(7, "loss") == theme.share(1, "loss")
    red, green, blue = theme.signed(-1)
    assert min(red, blue) > green  # magenta
    red, green, blue = theme.signed(1)
    assert min(green, blue) > red  # cyan


@given(st.tuples(UNIT, UNIT, UNIT))
def test_mixing_a_colour_with_itself_changes_nothing(colour: tuple[float, float, float]):
    assert mixed(colour, colour, 0.3) == pytest.approx(colour, abs=5e-3)


def test_themes_are_found_by_name():
    assert theme_named("light") is LIGHT
    with pytest.raises(BadInput, match="'sepia'"):
        theme_named("sepia")
