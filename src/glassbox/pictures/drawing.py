"""Rectangles, lines and text on a ground, and the SVG that they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from rich.cells import cell_len

from glassbox.pictures.colours import Colour, Theme, hexadecimal

SIZE = 12.0  # of ordinary text, in pixels
CELL = 0.6  # width of a character of a monospaced face, in sizes
FONTS = "ui-monospace, 'DejaVu Sans Mono', 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace"

Anchor = Literal["start", "middle", "end"]


def text_width(text: str, size: float = SIZE) -> float:
    """Of text in a monospaced face; wide characters take two cells."""
    return cell_len(text) * CELL * size


@dataclass
class Drawing:
    """Shapes in the order in which they are painted. Measures are pixels from the upper left corner."""

    width: float
    height: float
    theme: Theme
    shapes: list[str] = field(default_factory=list[str])

    def rectangle(
        self, x: float, y: float, width: float, height: float, fill: Colour | None, *, title: str = "",
        outline: Colour | None = None, dashed: bool = False, radius: float = 0.0,
    ) -> None:  # fmt: skip
        """title: shown when pointed at."""
        attributes = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        attributes += f' fill="{hexadecimal(fill) if fill else "none"}"'
        if radius:
            attributes += f' rx="{radius:g}"'
        if outline:
            attributes += f' stroke="{hexadecimal(outline)}"' + (' stroke-dasharray="3 2"' if dashed else "")
        inside = f"<title>{_safe(title)}</title></rect>" if title else ""
        self.shapes.append(f"<rect {attributes}>{inside}" if inside else f"<rect {attributes}/>")

    def text(
        self, x: float, y: float, text: str, colour: Colour | None = None, *, size: float = SIZE,
        anchor: Anchor = "start", bold: bool = False, turned: bool = False,
    ) -> None:  # fmt: skip
        """y: of the baseline. turned: reads upwards from there."""
        attributes = f'x="{x:g}" y="{y:g}" fill="{hexadecimal(colour or self.theme.ink)}"'
        if size != SIZE:
            attributes += f' font-size="{size:g}"'
        if anchor != "start":
            attributes += f' text-anchor="{anchor}"'
        if bold:
            attributes += ' font-weight="bold"'
        if turned:
            attributes += f' transform="rotate(-90 {x:g} {y:g})"'
        self.shapes.append(f"<text {attributes}>{_safe(text)}</text>")

    def line(self, x: float, y: float, to_x: float, to_y: float, colour: Colour | None = None) -> None:
        """A hairline."""
        stroke = hexadecimal(colour or self.theme.hairline)
        self.shapes.append(f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" stroke="{stroke}"/>')

    def arc(self, x: float, to_x: float, y: float, colour: Colour, *, thickness: float, title: str = "") -> None:
        """Half an ellipse above the line at y, as high as it is half wide."""
        radius = abs(to_x - x) / 2
        path = f"M {x:g} {y:g} A {radius:g} {radius:g} 0 0 {1 if to_x > x else 0} {to_x:g} {y:g}"
        drawn = f'<path d="{path}" fill="none" stroke="{hexadecimal(colour)}" stroke-width="{thickness:g}"'
        self.shapes.append(f"{drawn}><title>{_safe(title)}</title></path>" if title else f"{drawn}/>")

    def place(self, other: Drawing, x: float, y: float) -> None:
        """All of another drawing, moved."""
        self.shapes.append(f'<g transform="translate({x:g} {y:g})">')
        self.shapes += other.shapes
        self.shapes.append("</g>")

    def svg(self, title: str = "") -> str:
        """A picture that needs nothing else."""
        return "\n".join(self._lines(title)) + "\n"

    def _lines(self, title: str) -> Iterator[str]:
        size = f'width="{self.width:g}" height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}"'
        named = f' role="img" aria-label={quoteattr(_safe_characters(title))}' if title else ""
        yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONTS}" font-size="{SIZE:g}"{named}>'
        yield f'<rect width="100%" height="100%" fill="{hexadecimal(self.theme.paper)}"/>'
        yield '<g xml:space="preserve">'
        yield from self.shapes
        yield "</g>"
        yield "</svg>"


def _safe(text: str) -> str:
    return escape(_safe_characters(text))


def _safe_characters(text: str) -> str:
    """Without what XML doesn't allow: control characters become their pictures, halves of pairs a question mark."""
    return "".join(_safe_character(character) for character in text)


def _safe_character(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\ufffd" if 0xD800 <= code < 0xE000 or code in (0xFFFE, 0xFFFF) or code == 0x7F else character
