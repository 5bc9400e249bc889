"""Colours and scales, said in OKLCH, where equal steps look equal (Ottosson 2020, "A perceptual color space").

Each part of a model has one colour everywhere. Shares go from paper to the part's colour, signed values from magenta
through paper to cyan, symmetric about zero; both can be told apart by eyes that see no red or no green.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

from glassbox.errors import BadInput

Part = Literal["embedding", "attention", "feedforward", "stream", "output", "loss", "optimizer", "data"]
Colour = tuple[float, float, float]
"""Red, green and blue from 0 to 1, as a screen takes them (sRGB)."""

HUES: dict[Part, tuple[float, float]] = {
    "embedding": (250, 1.0),
    "attention": (150, 1.0),
    "feedforward": (60, 1.0),
    "stream": (300, 0.35),
    "output": (195, 0.8),
    "loss": (25, 1.0),
    "optimizer": (90, 1.0),
    "data": (260, 0.1),
}
"""Hue in degrees, and how colourful it is beside the others."""

NEGATIVE, POSITIVE = 330.0, 200.0  # magenta and cyan
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """The colour on a screen; with less chroma where a screen can't show as much."""
    while (colour := _linear(lightness, chroma, hue)) and not all(-1e-4 <= one <= 1 + 1e-4 for one in colour):
        chroma *= 0.97
    red, green, blue = (_encode(min(1.0, max(0.0, one))) for one in colour)
    return red, green, blue


def _linear(lightness: float, chroma: float, hue: float) -> Colour:
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _encode(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _decode(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def hexadecimal(colour: Colour) -> str:
    """`#1a2b3c`"""
    return "#" + "".join(f"{round(255 * one):02x}" for one in colour)


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21."""
    dark, bright = sorted(_luminance(colour) for colour in (one, other))
    return (bright + 0.05) / (dark + 0.05)


def readable_on(ground: Colour) -> Colour:
    """Black or white, whichever stands out more: at least 4.5 to 1 on any ground."""
    return max((BLACK, WHITE), key=lambda ink: contrast(ink, ground))


def _luminance(colour: Colour) -> float:
    red, green, blue = map(_decode, colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@dataclass(frozen=True)
class Theme:
    """A ground, and what is drawn on it."""

    name: str
    paper: Colour
    raised: Colour
    hairline: Colour
    ink: Colour
    quiet: Colour
    fill: tuple[float, float]
    """Lightness and chroma of a part's fill."""

    def part(self, part: Part) -> Colour:
        """The colour of a part of the model."""
        lightness, chroma = self.fill
        hue, share = HUES[part]
        return oklch(lightness, chroma * share, hue)

    def share(self, value: float, part: Part) -> Colour:
        """Paper at 0, the part's colour at 1."""
        return mixed(self.paper, self.part(part), min(1.0, max(0.0, value)))

    def signed(self, value: float) -> Colour:
        """Magenta at -1, paper at 0, cyan at 1."""
        lightness, chroma = self.fill
        end = oklch(lightness, chroma * 1.2, NEGATIVE if value < 0 else POSITIVE)
        return mixed(self.paper, end, min(1.0, abs(value)))


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Between two colours, `share` of the way, in light as it adds up."""
    low, high = map(_even, (one, other))
    return _from_even(tuple(a + share * (b - a) for a, b in zip(low, high, strict=True)))


@cache
def _even(colour: Colour) -> tuple[float, ...]:
    """In steps that look equal: OKLab's lightness and two axes."""
    red, green, blue = map(_decode, colour)
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _from_even(axes: tuple[float, ...]) -> Colour:
    lightness, a, b = axes
    return oklch(lightness, math.hypot(a, b), math.degrees(math.atan2(b, a)))


DARK = Theme(
    "dark",
    paper=oklch(0.17, 0.015, 260),
    raised=oklch(0.21, 0.015, 260),
    hairline=oklch(0.32, 0.015, 260),
    ink=oklch(0.93, 0.005, 260),
    quiet=oklch(0.72, 0.01, 260),
    fill=(0.78, 0.14),
)
LIGHT = Theme(
    "light",
    paper=oklch(0.985, 0.003, 260),
    raised=oklch(1.0, 0.0, 260),
    hairline=oklch(0.88, 0.005, 260),
    ink=oklch(0.22, 0.015, 260),
    quiet=oklch(0.45, 0.01, 260),
    fill=(0.52, 0.13),
)


def theme_named(name: str) -> Theme:
    """Raises BadInput for anything but dark and light."""
    for theme in (DARK, LIGHT):
        if theme.name == name:
            return theme
    raise BadInput(f"There is no theme called {name!r}.", "Choose dark or light.")
