"""What `glassbox compare training` shows at the end: the curves, and whether they are one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.text import Text

from glassbox.cli.numbers import measured
from glassbox.cli.plot import WIDEST, plot
from glassbox.cli.tables import listing
from glassbox.stages.execution import Outcome
from glassbox.workspace.curves import curves, losses

if TYPE_CHECKING:
    from rich.console import Console


def show_training(console: Console, outcome: Outcome) -> None:
    """Curves on a terminal; a table of the engines; and the largest distance between two of them."""
    report: Any = outcome.result
    if console.is_terminal:
        drawn = plot(losses(curves(outcome.run.events)), width=min(console.width, WIDEST), colour=True)
        if drawn is not None:
            console.print(drawn)
    steps = report["steps"]
    console.print(
        f"{report['parameters']:,} parameters, {steps:,} steps on {report['batch']} × {report['length']} tokens with "
        f"{report['optimizer']}, in float64; the least loss in the long run is {report['least_loss']:.3f}\n",
        soft_wrap=True,
    )
    rows: list[list[str | Text]] = []
    for name, values in report["losses"].items():
        if values:
            pace = report["seconds"][name]["step"]["median"]
            rows.append([name, measured(values[0]), measured(values[-1]), f"{1e3 * pace:.3g} ms"])
    heading = ("engine", "first loss", "last loss", "a step takes")
    console.print(listing(heading, rows, heading[1:]))
    for name, reason in report["left_out"].items():
        console.print(Text.assemble((f"{name} left out: ", "yellow"), reason), soft_wrap=True)
    if len(rows) > 1:
        console.print(_verdict(report), soft_wrap=True)
    for artifact in outcome.outputs.values():
        console.print(f"\nkept as the report {artifact.reference}", style="dim")


def _verdict(report: Any) -> Text:
    """Whether the curves are the same, and how far two of them lie apart at most."""
    apart = report["farthest_apart"]
    if not apart["between"]:
        return Text("The curves lie exactly on one another: every loss is the same number in all engines.", "green")
    if not math.isfinite(apart["relative"]):
        number, none = apart["between"]
        where = f"the loss of {number} is a number at step {apart['step']:,}, that of {none} is none"
        return Text(f"The curves part: {where}.", "bold red")
    where = f"{apart['relative']:.1e} of the loss, between {' and '.join(apart['between'])} at step {apart['step']:,}"
    if report["same"]:
        return Text(f"The curves lie on one another: they are never further apart than {where}.", "green")
    return Text(f"The curves part: by {where}.", "bold red")
