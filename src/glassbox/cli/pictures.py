"""Shows figures in the terminal, and writes them to a file if one was named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from glassbox.cli.output import say, standard_output
from glassbox.pictures import Figure, save, theme_named
from glassbox.pictures.saving import check_file

WIDTH_OF_FILES = 120  # columns, where nobody looks at a terminal

SaveOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the pictures to a .svg, .png or .html too.", show_default=False),
]
ThemeOption = Annotated[str, typer.Option(help="Colours for a dark or a light ground.")]


def check_picture(file: Path | None, theme: str) -> None:
    """Before anything is computed: BadInput for a file or a theme that there can't be."""
    theme_named(theme)
    if file is not None:
        check_file(file)


def show(figures: Sequence[Figure], theme: str) -> None:
    """Print each below its title, in colour where the terminal has some."""
    console = standard_output()
    colour = console.color_system is not None and not console.no_color
    width = console.width if console.is_terminal else WIDTH_OF_FILES
    for figure in figures:
        if figure.title:
            console.print(Text(figure.title, "bold"), soft_wrap=True)
        console.print(figure.printed(theme_named(theme), width=width, colour=colour), soft_wrap=True)


def write(figures: Sequence[Figure], file: Path | None, theme: str, *, title: str) -> None:
    """Write them to the file, if one was named."""
    if file is not None:
        save(figures, file, theme_named(theme), title=title)
        say(f"wrote {file}")
