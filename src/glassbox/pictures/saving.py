"""Pictures in a file: SVG, PNG or HTML, as the name's ending says.

The PNG is our SVG, painted by resvg at twice its size. The HTML holds the SVG and, below it, every number as a table;
neither asks anything of a network.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.pictures.colours import DARK, Theme, hexadecimal
from glassbox.pictures.drawing import SIZE, Drawing, text_width
from glassbox.pictures.figure import Figure
from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input

ENDINGS = (".svg", ".png", ".html")
SHARPNESS = 2.0  # pixels of a PNG for one of the SVG
LARGEST_SIDE = 16_000  # pixels of a PNG
MARGIN = 24.0


def save(figures: Sequence[Figure], file: Path, theme: Theme, *, title: str) -> None:
    """Write all of them, one below the other, whole or not at all.

    Raises BadInput for another ending, a PNG too large to be painted or without a font on this machine, and for a
    place that can't be written.
    """
    check_file(file)
    content = _content(figures, file.suffix.lower(), theme, title)
    with disk_faults_as_bad_input(file):
        atomic.write_file(file, content)


def check_file(file: Path) -> None:
    """Raises BadInput unless a picture can have this name, in a folder that is there."""
    if file.suffix.lower() not in ENDINGS:
        raise BadInput(f"A picture's file ends in .svg, .png or .html, and {file.name} doesn't.", "Choose one of them.")
    if file.is_dir():
        raise BadInput(f"{file} is a folder.", "Give the picture another name.")
    if not file.absolute().parent.is_dir():
        raise BadInput(f"There is no folder {file.absolute().parent}.", "Make it first, or choose another place.")


def sheet(figures: Sequence[Figure], theme: Theme, title: str) -> Drawing:
    """All figures on one ground, each below its title."""
    drawn = [(figure.title, figure.draw(theme)) for figure in figures]
    width = max((max(each.width, text_width(name)) for name, each in drawn), default=0.0)
    whole = Drawing(max(width, text_width(title, 16)) + 2 * MARGIN, 0, theme)
    y = MARGIN + 16
    whole.text(MARGIN, y, title, size=16)
    for name, each in drawn:
        y += 2.5 * SIZE
        if name:
            whole.text(MARGIN, y, name, theme.quiet)
            y += SIZE
        whole.place(each, MARGIN, y)
        y += each.height
    whole.height = y + MARGIN
    return whole


def _content(figures: Sequence[Figure], ending: str, theme: Theme, title: str) -> bytes:
    drawing = sheet(figures, theme, title)
    if ending == ".svg":
        return drawing.svg(title).encode()
    if ending == ".png":
        return painted(drawing)
    return _page(figures, theme, title).encode()


def painted(drawing: Drawing) -> bytes:
    """A drawing as PNG. Raises BadInput where it would be too large, or this machine has no font to write with."""
    import resvg_py

    if max(drawing.width, drawing.height) * SHARPNESS > LARGEST_SIDE:
        raise BadInput(
            f"The picture would be {drawing.width * SHARPNESS:,.0f} x {drawing.height * SHARPNESS:,.0f} pixels.",
            "Save it as .svg or .html, or show less of it.",
        )
    if not has_font():
        raise BadInput(
            "This machine has no font, so a PNG would have no words in it.",
            "Save it as .svg or .html, or install a font such as DejaVu.",
        )
    return bytes(resvg_py.svg_to_bytes(svg_string=drawing.svg(), zoom=SHARPNESS))


def has_font() -> bool:
    """Whether words in a PNG can be seen here: whether a letter leaves a trace."""
    import resvg_py

    letter, blank = Drawing(20, 20, DARK), Drawing(20, 20, DARK)
    letter.text(4, 16, "M")
    return resvg_py.svg_to_bytes(svg_string=letter.svg()) != resvg_py.svg_to_bytes(svg_string=blank.svg())


def _page(figures: Sequence[Figure], theme: Theme, title: str) -> str:
    colours = {name: hexadecimal(getattr(theme, name)) for name in ("paper", "ink", "quiet", "hairline")}
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title>",
        "<style>",
        f"body {{ background: {colours['paper']}; color: {colours['ink']}; font: 14px/1.5 system-ui, sans-serif; "
        "margin: 24px; }",
        f"h1, h2, summary {{ font-size: 14px; font-weight: 400; color: {colours['quiet']}; }}",
        "h1 { font-size: 18px; } svg { max-width: 100%; height: auto; }",
        "table { border-collapse: collapse; font: 12px ui-monospace, monospace; font-variant-numeric: tabular-nums; }",
        f"th, td {{ padding: 2px 8px; text-align: right; border-bottom: 1px solid {colours['hairline']}; }}",
        "details > div { overflow-x: auto; }",
        "</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for figure in figures:
        parts.append(f"<section><h2>{html.escape(figure.title)}</h2>")
        parts.append(figure.draw(theme).svg(figure.title))
        parts.append(f"<details><summary>Every number</summary><div>{_table(figure)}</div></details></section>")
    return "\n".join([*parts, "</body></html>", ""])


def _table(figure: Figure) -> str:
    columns, rows = figure.table()
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    lines = [
        f'<tr><th scope="row">{html.escape(row[0])}</th>' + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        for row in rows
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{'</tr>'.join(lines)}</tr></tbody></table>"
