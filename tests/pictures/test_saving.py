from __future__ import annotations

import math
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest
import resvg_py

from glassbox.errors import BadInput
from glassbox.pictures import DARK, LIGHT, Bars, Heatmap, save
from glassbox.pictures.saving import SHARPNESS, has_font, sheet

FIGURES = [
    Heatmap("weights <of> a & b", [[1.0, math.nan], [0.125, 0.875]], ["a", "<b>"], ["a", "<b>"], "attention"),
    Bars("effects", ["up", "down"], [2.0, -1.0]),
]


def test_an_svg_is_whole_and_needs_nothing_else(tmp_path: Path):
    save(FIGURES, tmp_path / "picture.svg", LIGHT, title="Two & more")
    text = (tmp_path / "picture.svg").read_text()
    assert ElementTree.fromstring(text).get("aria-label") == "Two & more"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.svg"]


@pytest.mark.skipif(not has_font(), reason="this machine has no font to write with")
def test_a_png_is_the_svg_at_twice_its_size(tmp_path: Path):
    save(FIGURES, tmp_path / "picture.PNG", DARK, title="Both")
    content = (tmp_path / "picture.PNG").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    drawing = sheet(FIGURES, DARK, "Both")
    width, height = struct.unpack(">II", content[16:24])
    assert abs(width - SHARPNESS * drawing.width) <= 2
    assert abs(height - SHARPNESS * drawing.height) <= 2


def test_a_page_holds_the_pictures_and_every_number(tmp_path: Path):
    save(FIGURES, tmp_path / "page.html", DARK, title="<Both>")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<h1>&lt;Both&gt;</h1>" in page
    assert page.count("<svg") == 2
    assert "<td>0.125</td>" in page
    assert "<script" not in page
    ElementTree.fromstring(page[page.index("<table") : page.index("</table>") + len("</table>")])


@pytest.mark.parametrize("name", ["picture.gif", "picture", "missing/picture.svg"])
def test_a_place_where_no_picture_can_be_is_refused(tmp_path: Path, name: str):
    with pytest.raises(BadInput):
        save(FIGURES, tmp_path / name, DARK, title="")
    assert list(tmp_path.iterdir()) == []


def test_a_png_of_any_size_is_not_painted(tmp_path: Path):
    wide = Heatmap("", [[0.0] * 2_000], ["a"], ["b"] * 2_000)
    with pytest.raises(BadInput, match="pixels"):
        save([wide], tmp_path / "picture.png", DARK, title="")
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_fonts_says_so_instead_of_leaving_out_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **given: real(skip_system_fonts=True, **given))
    with pytest.raises(BadInput, match="no font"):
        save(FIGURES, tmp_path / "picture.png", DARK, title="")


def test_a_folder_in_the_way_is_left_as_it_is(tmp_path: Path):
    (tmp_path / "picture.svg").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        save(FIGURES, tmp_path / "picture.svg", DARK, title="")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.svg"]
