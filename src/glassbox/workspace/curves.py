"""The metrics of a run as curves: each metric's values over the steps.

A run of a hundred thousand steps is read once, and again only from where the last look ended; what is shown of it is
thinned to as many points as can be told apart, and the extremes stay.
"""

from __future__ import annotations

import itertools
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

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


def thinned(curve: Sequence[tuple[int, float]], points: int) -> Curve:
    """At most `points` of them: the first, the last, and of each stretch of steps between the lowest and the highest.

    So a spike of one step is still there, however many steps there are. points: at least 4.
    """
    if len(curve) <= points:
        return list(curve)
    values = curve.values if isinstance(curve, LongCurve) else [value for _, value in curve]
    stretches = (points - 2) // 2
    inner = len(curve) - 2
    bounds = [1 + inner * stretch // stretches for stretch in range(stretches + 1)]
    kept = {0, len(curve) - 1}
    for begin, end in itertools.pairwise(bounds):
        stretch = values[begin:end]
        kept |= {begin + stretch.index(pick(stretch)) for pick in (min, max)}
    return [curve[place] for place in sorted(kept)]


class LongCurve(Sequence[tuple[int, float]]):
    """A curve in sixteen bytes a point: millions of tuples would be a burden for the memory and its collector."""

    def __init__(self, steps: Iterable[int] = (), values: Iterable[float] = ()) -> None:
        self.steps = array("q", steps)
        self.values = array("d", values)

    def append(self, step: int, value: float) -> None:
        self.steps.append(step)
        self.values.append(value)

    def put_in_order(self) -> None:
        """By rising steps; of a step that is there several times, the last value stays."""
        ordered = sorted(dict(zip(self.steps, self.values, strict=True)).items())
        self.steps = array("q", (step for step, _ in ordered))
        self.values = array("d", (value for _, value in ordered))

    def between(self, first: int | None, last: int | None) -> LongCurve:
        """The part with steps from `first` to `last`; None is no bound."""
        begin = 0 if first is None else bisect_left(self.steps, first)
        end = len(self) if last is None else bisect_right(self.steps, last)
        return LongCurve(self.steps[begin:end], self.values[begin:end])

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> tuple[int, float]: ...

    @overload
    def __getitem__(self, place: slice) -> Curve: ...

    def __getitem__(self, place: int | slice) -> tuple[int, float] | Curve:
        if isinstance(place, slice):
            return list(zip(self.steps[place], self.values[place], strict=True))
        return self.steps[place], self.values[place]


class GrowingCurves:
    """The curves of a file of events that may still grow: each `update` reads what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._curves: dict[str, LongCurve] = {}

    @property
    def points(self) -> int:
        """How many there are in all."""
        return sum(map(len, self._curves.values()))

    def update(self) -> dict[str, LongCurve]:
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
                curve = self._curves.setdefault(name, LongCurve())
                if curve.steps and curve.steps[-1] >= step:
                    repeated.add(name)  # a resumed run does some steps again
                curve.append(step, float(value))
        for name in repeated:
            self._curves[name].put_in_order()
        self._offset += len(new)
        return self._curves

    def _metrics(self, lines: bytes) -> list[dict[str, Any]]:
        try:
            return from_json(b"[" + b",".join(_METRICS.findall(lines)) + b"]")
        except ValueError as error:
            raise BadInput(
                f"{self._path} is damaged: {error}.", "Restore the file from a backup, or remove the damaged line."
            ) from error
