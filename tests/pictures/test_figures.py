from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from glassbox.pictures import DARK, LIGHT, Arcs, Bars, Figure, Heatmap, Listing, Mosaic, Stacked, Tokens, visible

NAMES = st.lists(st.text(max_size=20), min_size=1, max_size=6)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)
SVG = "{http://www.w3.org/2000/svg}"

SMALL = Heatmap("weights", [[1.0, math.nan], [0.25, 0.75]], ["a", "b"], ["a", "b"], "attention")
SIGNED = Heatmap("signed", [[-2.0, 0.5]], ["row"], ["x", "y"])
WIDE = Heatmap("wide", [[i / 200 for i in range(200)], [-i / 200 for i in range(200)]], ["up", "down"], ["."] * 200)


def parsed(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.draw(DARK).svg(figure.title))


def words(figure: Figure) -> list[str]:
    return [one.text or "" for one in parsed(figure).iter(f"{SVG}text")]


def printed(figure: Figure, *, width: int = 100, colour: bool = False) -> Text:
    return figure.printed(DARK, width=width, colour=colour)


def test_a_heatmap_has_a_cell_for_each_number_and_none_where_there_is_none():
    titles = [one.text for one in parsed(SMALL).iter(f"{SVG}title")]
    assert titles == ["a → a: 1", "b → a: 0.25", "b → b: 0.75"]
    assert {"100", "25", "75", "0 to 1"} <= set(words(SMALL))
    assert SMALL.table() == (["", "a", "b"], [["a", "1", "–"], ["b", "0.25", "0.75"]])


def test_a_signed_heatmap_is_symmetric_about_zero():
    assert SIGNED.scale == 2
    fills = [one.get("fill") for one in parsed(SIGNED).iter(f"{SVG}rect")][1:]
    assert fills[0] != fills[1]
    assert "-2 to 2" in words(SIGNED)
    assert Heatmap("", [[0.0]], ["a"], ["b"]).scale == 1


def test_in_a_terminal_a_small_heatmap_shows_its_numbers():
    shown = printed(SMALL).plain
    assert shown.splitlines()[1].split() == ["a", "100"]
    assert shown.splitlines()[2].split() == ["b", "25", "75"]
    assert "per cent" in shown


def test_a_wide_heatmap_is_drawn_in_half_blocks_and_says_what_is_missing():
    lines = printed(WIDE, colour=True).plain.splitlines()
    assert lines[0].count("▀") == 95
    assert lines[1] == "the first 95 of 200 columns; --save shows all"
    assert all(cell_len(line) <= 100 for line in lines)


def test_without_colour_a_wide_heatmap_shows_signs_and_shades():
    up, down, *_ = printed(WIDE, width=500).plain.splitlines()
    assert up.endswith("+█")
    assert down.endswith("-█")
    assert "+░" in up


def test_bars_below_zero_go_to_the_other_side():
    bars = Bars("effects", ["up", "down", "none"], [2.0, -1.0, math.nan])
    up, down, none = printed(bars).plain.splitlines()
    assert up.index("█") > down.index("█")
    assert up.count("█") == 2 * down.count("█")
    assert none.endswith("–")
    assert bars.table()[1] == [["up", "2"], ["down", "-1"], ["none", "–"]]


def test_tokens_are_shown_with_their_notes_values_and_marks():
    tokens = Tokens("t", [b"a\n", b"<|end|>"], ["1", "2"], [0.5, math.nan], "loss", 2.0, [False, True])
    assert tokens.table() == (["token", "note", "value"], [["a⏎", "1", "0.5"], ["<|end|>", "2", "–"]])
    assert printed(tokens).plain == "a⏎(0.5)|\n<|end|>\n0 to 2\n"
    dashed = [one for one in parsed(tokens).iter(f"{SVG}rect") if one.get("stroke-dasharray")]
    assert len(dashed) == 1


def test_tokens_wrap_at_the_edge():
    tokens = Tokens("t", [b"word"] * 40)
    assert all(cell_len(line) <= 30 for line in printed(tokens, width=30).plain.splitlines())
    assert parsed(tokens).get("height") != parsed(Tokens("t", [b"word"])).get("height")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b" a\n\t\r", "·a⏎⇥␍"),
        (b"\xc3", "‹C3›"),
        (b"\x00\x7f", "␀␡"),
        ("é🙂".encode(), "é🙂"),
        ("\u200b".encode(), "‹U+200B›"),
    ],
)
def test_every_byte_of_a_token_can_be_seen(data: bytes, expected: str):
    assert visible(data) == expected


@given(st.binary(max_size=20))
def test_what_is_visible_can_be_printed(data: bytes):
    assert all(character.isprintable() for character in visible(data))


def test_a_listing_aligns_numbers_on_the_right():
    listing = Listing("", ("name", "count"), [("a", "1"), ("bcd", "1,000")], {"count"})
    assert printed(listing).plain == "name  count\na         1\nbcd   1,000\n"
    assert listing.table() == (("name", "count"), [("a", "1"), ("bcd", "1,000")])


@given(NAMES, st.data())
def test_whatever_the_names_and_numbers_the_svg_is_whole_and_the_terminal_takes_it(names: list[str], data):
    row = st.lists(NUMBERS, min_size=len(names), max_size=len(names))
    values = data.draw(st.lists(row, min_size=len(names), max_size=len(names)))
    pieces = [name.encode("utf-8", "surrogatepass") for name in names]
    figures: list[Figure] = [
        Heatmap("h", values, names, names),
        Heatmap("h", values, names, names, "output", 3.0),
        Bars("b", names, values[0]),
        Tokens("t", pieces, names, values[0], "loss", 2.0),
        Listing("l", names, [names], {names[0]}),
    ]
    for figure in figures:
        parsed(figure)
        for theme in (DARK, LIGHT):
            for colour in (True, False):
                assert isinstance(figure.printed(theme, width=40, colour=colour), Text)
        columns, rows = figure.table()
        assert all(len(each) == len(columns) for each in rows)


def test_stacked_bars_share_out_a_whole_by_its_parts():
    stacked = Stacked("s", ["one", "two"], {"a": [1.0, 0.0], "b": [3.0, 0.0]}, {"a": "attention", "b": "loss"})
    one, two, legend = printed(stacked, width=44).plain.splitlines()
    assert (one.count("█"), one.count("▓")) == (10, 30)
    assert two.strip() == "two"
    assert legend.split() == ["█", "a", "▓", "b"]
    assert [each.text for each in parsed(stacked).iter(f"{SVG}title")] == ["one: a 25.0%", "one: b 75.0%"]
    assert stacked.table() == (["", "a", "b"], [["one", "1", "3"], ["two", "0", "0"]])


def test_a_mosaic_shows_every_tile_side_by_side():
    tile = [[1.0, math.nan], [0.5, 0.0]]
    mosaic = Mosaic("m", [[tile, tile], [tile, tile]], [["0.0", "0.1"], ["1.0", "1.1"]], "attention")
    lines = printed(mosaic).plain.splitlines()
    assert lines[0].split() == ["0.0", "0.1"]
    assert [line.count("█") for line in lines] == [0, 2, 0, 0, 2, 0]
    assert printed(mosaic, colour=True).plain.count("▀") == 8
    assert printed(mosaic, width=5).plain.splitlines()[3].split() == ["0.1"]
    assert len(mosaic.table()[1]) == 12
    assert sum(one.get("width") == one.get("height") != "100%" for one in parsed(mosaic).iter(f"{SVG}rect")) == 12


def test_a_large_tile_shows_the_largest_of_its_cells():
    tile = [[0.0] * 60 for _ in range(60)]
    tile[59][59] = 1.0
    lines = printed(Mosaic("m", [[tile]], [["0.0"]], "attention")).plain.splitlines()
    assert "largest of 3 x 3" in lines[-1]
    assert lines[-2] == " " * 19 + "█"


def test_arcs_join_the_tokens_that_look_at_one_another():
    weights = [[1.0, math.nan, math.nan], [0.9, 0.1, math.nan], [0.01, 0.59, 0.4]]
    arcs = Arcs("looks", ["a", "b", "c"], weights, "attention")
    titles = [one.text for one in parsed(arcs).iter(f"{SVG}title")]
    assert titles == ["c → b: 0.59", "b → a: 0.9"]  # the strongest on top, no one's look at itself
    assert [line.split() for line in printed(arcs).plain.splitlines()] == [
        ["a", "→", "a", "100%"], ["b", "→", "a", "90%", "b", "10%"], ["c", "→", "b", "59%", "c", "40%"],
    ]  # fmt: skip
    assert len(arcs.table()[1]) == 6
