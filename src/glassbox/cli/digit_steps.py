"""`glassbox digits train --step-by-step`: one batch at a time, with what it did to the model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from glassbox.cli.numbers import measured
from glassbox.cli.output import standard_output
from glassbox.cli.tables import listing
from glassbox.engines.catalogue import as_array
from glassbox.engines.interface import IGNORED
from glassbox.stages.train_digits import Settings, prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glassbox.training.digits import DigitTraining, Step

EXAMPLES_SHOWN, WEIGHTS_SHOWN = 3, 5
ASKED = "Enter: the next step · a number: so many steps · q: quit  "

Weights = dict[str, "NDArray[np.floating[Any]]"]


def show_steps(settings: Settings) -> None:
    """Train until the steps or the person's patience are used up."""
    console = standard_output()
    training, _ = prepare(settings)
    ahead = 1
    while ahead and training.done < training.total:
        for _ in range(min(ahead, training.total - training.done) - 1):
            training.step()
        before = _copies(training)
        _show(training, training.step(), before)
        ahead = _asked() if training.done < training.total else 0
    console.print(f"{training.done:,} of {training.total:,} steps were done, and nothing was kept.", style="dim")


def _asked() -> int:
    """How many steps the person wants to see next; 0 to quit."""
    console = standard_output()
    while True:
        console.print(ASKED, style="dim", end="")
        line = sys.stdin.readline()
        typed = line.strip().lower()
        if not line or typed == "q":
            return 0
        if not typed:
            return 1
        if typed.isascii() and typed.isdigit() and 0 < len(typed) < 8 and int(typed):
            return int(typed)
        console.print(f"{typed[:40]!a} is neither a number of steps nor q.", markup=False)


def _show(training: DigitTraining, step: Step, before: Weights) -> None:
    console = standard_output()
    right = int(step.right.sum())
    console.print(f"\nstep {step.number:,} of {training.total:,}", style="bold")
    console.print(
        f"loss {measured(step.loss)} nats   gradient norm {measured(step.gradient_norm)}   "
        f"learning rate {measured(step.learning_rate)}   right before the update {right} of {len(step.right)}"
    )
    for place in range(min(EXAMPLES_SHOWN, len(step.right))):
        console.print(_prediction(step, place))
    console.print(f"\nthe weights that moved most, of {sum(one.size for one in before.values()):,}", style="dim")
    rows = [
        [place, measured(float(old)), measured(float(new)), f"{float(new - old):+.2e}"]
        for place, old, new in _most_moved(before, _copies(training))
    ]
    console.print(listing(("weight", "before", "after", "change"), rows, numeric=("before", "after", "change")))


def _prediction(step: Step, place: int) -> Text:
    """What the model said to one example of the batch before it learned from it."""
    example, targets, predicted = step.batch.examples[place], step.batch.targets[place], step.predicted[place]
    if targets.ndim:
        from glassbox.tokenizers.digits import DigitTokenizer

        counts = targets != IGNORED
        said, wanted = (DigitTokenizer().decode(ids[counts].tolist()) for ids in (predicted, targets))
    else:
        said, wanted = str(predicted), str(targets)
    style = "" if said == wanted else "red"
    return Text.assemble(f"  {example.text}  said ", (said, style), f", right is {wanted}")


def _most_moved(before: Weights, after: Weights) -> list[tuple[str, Any, Any]]:
    """Name with place, number before, number after: of all weights those that changed most."""
    found: list[tuple[float, str, Any, Any]] = []
    for name, old in before.items():
        new = after[name]
        moved = np.abs(new - old)
        for flat in np.argsort(moved, axis=None)[-WEIGHTS_SHOWN:].tolist():
            place = tuple(int(one) for one in np.unravel_index(flat, old.shape))
            found.append((float(moved[place]), f"{name}[{', '.join(map(str, place))}]", old[place], new[place]))
    found.sort(key=lambda one: -one[0])
    return [one[1:] for one in found[:WEIGHTS_SHOWN]]


def _copies(training: DigitTraining) -> Weights:
    return {name: as_array(weight).copy() for name, weight in training.model.weights().items()}
