"""The metrics of a run as curves: each metric's values over the steps.

A run of a hundred thousand steps is read once, and again only from where the last look ended; what is shown of it is
thinned to as many points as can be told apart, and the extremes stay.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from glassbox.errors import BadInput
from glassbox.workspace.events import Event

Curve = list[tuple[int, float]]
"""(step, value), the steps rising."""

_METRICS = re.compile(rb'^\{[^{"]*(?:"[a-z]+":[0-9.e+-]+,)*"kind":"metrics".*$', re.MULTILINE)
"""The lines of metrics, without a look into the others: most of what a long run writes is one or the other."""


def curves(events: Iterable[Event]) -> dict[str, Curve]:
    """Every metric by name. Of a step that was done again after a resume, the last value stays."""
    found: dict[str, dict[int, float]] = {}
    for event in events:
        if event.kind == "metrics":
            for name, value in event.fields["values"].items():
                found.setdefault(name, {})[event.fields["step"]] = value
    return {name: sorted(points.items()) for name, points in found.items()}


def losses(found: dict[str, Curve]) -> dict[str, Curve]:
    """Those metrics that are losses."""
    return {name: curve for name, curve in found.items() if name == "loss" or name.endswith("_loss")}


def thinned(curve: Curve, points: int) -> Curve:
    """At most `points` of them: the first, the last, and of each stretch of steps between the lowest and the highest.

    So a spike of one step is still there, however many steps there are. points: at least 4.
    """
    if len(curve) <= points:
        return curve
    stretches = (points - 2) // 2
    inner = len(curve) - 2
    bounds = [1 + inner * stretch // stretches for stretch in range(stretches + 1)]
    kept = {0, len(curve) - 1}
    for begin, end in itertools.pairwise(bounds):
        values = [value for _, value in curve[begin:end]]
        kept |= {begin + values.index(pick(values)) for pick in (min, max)}
    return [curve[place] for place in sorted(kept)]


class GrowingCurves:
    """The curves of a file of events that may still grow: each `update` reads what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._curves: dict[str, Curve] = {}

    @property
    def points(self) -> int:
        """How many there are in all."""
        return sum(map(len, self._curves.values()))

    def update(self) -> dict[str, Curve]:
        """Every metric by name, as in `curves`. Raises BadInput for a line that isn't an event."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except FileNotFoundError:
            return {}
        new = new[: new.rfind(b"\n") + 1]  # a line counts once its line feed is there
        repeated: set[str] = set()
        for event in self._metrics(new):
            step = event["step"]
            for name, value in event["values"].items():
                curve = self._curves.setdefault(name, [])
                if curve and curve[-1][0] >= step:
                    repeated.add(name)  # a resumed run does some steps again
                curve.append((step, float(value)))
        for name in repeated:
            self._curves[name] = sorted(dict(self._curves[name]).items())
        self._offset += len(new)
        return self._curves

    def _metrics(self, lines: bytes) -> list[dict[str, Any]]:
        try:
            return from_json(b"[" + b",".join(_METRICS.findall(lines)) + b"]")
        except ValueError as error:
            raise BadInput(
                f"{self._path} is damaged: {error}.", "Restore the file from a backup, or remove the damaged line."
            ) from error
