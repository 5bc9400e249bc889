"""Where the command line writes: results on standard output, everything about them on standard error."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

from glassbox.workspace.strict_json import to_json

_UNBROKEN = 10_000

if TYPE_CHECKING:
    from rich.console import Console


@functools.cache
def standard_output() -> Console:
    """For what was asked for."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNBROKEN  # a program that reads lines wants each thing on one
    return console


@functools.cache
def standard_error() -> Console:
    """For progress, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """The one object that a command with --json writes to standard output."""
    sys.stdout.write(to_json(value) + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """A quiet line on standard error, about what is being done."""
    standard_error().print(message, style="dim", markup=False, soft_wrap=True)
