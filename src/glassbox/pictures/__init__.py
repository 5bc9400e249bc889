"""Pictures without a browser: heatmaps, tokens and bars, in the terminal and as SVG, PNG and HTML."""

from glassbox.pictures.arcs import Arcs
from glassbox.pictures.bars import Bars
from glassbox.pictures.colours import DARK, LIGHT, Theme, theme_named
from glassbox.pictures.figure import Figure
from glassbox.pictures.heatmap import Heatmap
from glassbox.pictures.listing import Listing
from glassbox.pictures.mosaic import Mosaic
from glassbox.pictures.saving import save
from glassbox.pictures.stacked import Stacked
from glassbox.pictures.tokens import Tokens, visible

__all__ = [
    "DARK",
    "LIGHT",
    "Arcs",
    "Bars",
    "Figure",
    "Heatmap",
    "Listing",
    "Mosaic",
    "Stacked",
    "Theme",
    "Tokens",
    "save",
    "theme_named",
    "visible",
]
