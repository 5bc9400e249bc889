"""`glassbox microgpt`: the whole of a GPT in one file, run as it is or with the numbers of any engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from glassbox import microgpt
from glassbox.cli.options import JsonOption
from glassbox.cli.output import print_json
from glassbox.engines.catalogue import ENGINES
from glassbox.errors import BadInput
from glassbox.training.microgpt import Sizes, read_names, run

PLAIN = "plain"
OWN_NAMES = Path(microgpt.__file__).parent / "data" / "sources" / "names.txt"
_DEFAULTS = Sizes()


def command(
    engine: Annotated[
        str, typer.Option(metavar="CHOICE", help=f"One of {PLAIN} (the file itself), {', '.join(ENGINES)}.")
    ] = PLAIN,
    names: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help=r"Text file with one name a line. \[default: those that come with Glassbox]",
            show_default=False,
        ),
    ] = OWN_NAMES,
    seed: Annotated[int, typer.Option(help="Of the names' order, the first weights and the samples.")] = _DEFAULTS.seed,
    steps: Annotated[int, typer.Option(help="Names to learn from, one a step.")] = _DEFAULTS.steps,
    layers: Annotated[int, typer.Option(help="Blocks.")] = _DEFAULTS.layers,
    width: Annotated[int, typer.Option(help="Length of the vector that stands for a letter.")] = _DEFAULTS.width,
    heads: Annotated[int, typer.Option(help="Attention heads.")] = _DEFAULTS.heads,
    context: Annotated[int, typer.Option(help="Letters that are read at once.")] = _DEFAULTS.context,
    samples: Annotated[int, typer.Option(help="New names to write.")] = _DEFAULTS.samples,
    as_json: JsonOption = False,
) -> None:
    """Train a tiny GPT on names and write new ones, with any engine.

    The same algorithm with the same random numbers, so that every engine gives the losses and samples of the file.
    """
    if engine not in (PLAIN, *ENGINES):
        raise BadInput(f"There is no engine called {engine!r}.", f"Choose one of {', '.join((PLAIN, *ENGINES))}.")
    sizes = Sizes(seed, steps, layers, width, heads, context, samples)
    known = read_names(names)
    # Not through Rich, which draws random numbers from the very generator that the file samples with.
    report = _nothing if as_json else print
    if engine == PLAIN:
        result = microgpt.run(known, **asdict(sizes), report=report)
    else:
        result = run(known, sizes, engine, report)
    if as_json:
        print_json(result)


def _nothing(line: str) -> None:
    pass
