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
from typing import overload

from pydantic import TypeAdapter, ValidationError

from glassbox.errors import BadInput
from glassbox.workspace.events import Event

Curve = list[tuple[int, float]]
"""(step, value), the steps rising."""

_METRICS = re.compile(
    rb'^\{[^{"]*(?:"[a-z]+":[0-9.e+-]+,)*"kind":"metrics"(?:,"step":([0-9]{1,18}),"values":(\{.*\})\}$)?', re.MULTILINE
)
"""The step and the values of each line of metrics, without a look into the others: what a long run writes is mostly one
or the other. Of a line of metrics that isn't as `EventLog` writes it, nothing.
"""

_AT_ONCE = 256 * 1024  # bytes; parsing lets no other thread run, and this is a few milliseconds


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

    def add(self, steps: list[int], values: list[float]) -> None:
        """What came later. Of a step that is there already, as after a resume, the last value stays."""
        new = len(self)
        self.steps.fromlist(steps)
        self.values.fromlist(values)
        if any(step >= following for step, following in itertools.pairwise(self.steps[max(0, new - 1) :])):
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


_VALUES = TypeAdapter(list[dict[str, float]])


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
                while lines := stream.read(_AT_ONCE) + stream.readline():
                    whole = lines[: lines.rfind(b"\n") + 1]  # a line counts once its line feed is there
                    self._add(*self._metrics(whole))
                    self._offset += len(whole)
        except FileNotFoundError:
            return {}
        return self._curves

    def _add(self, steps: list[int], events: list[dict[str, float]]) -> None:
        for name in dict.fromkeys(itertools.chain.from_iterable(events)):
            having = [step for step, values in zip(steps, events, strict=True) if name in values]
            self._curves.setdefault(name, LongCurve()).add(having, [one[name] for one in events if name in one])

    def _metrics(self, lines: bytes) -> tuple[list[int], list[dict[str, float]]]:
        """The steps, and each one's values. Raises BadInput."""
        found = _METRICS.findall(lines)
        try:
            events = _VALUES.validate_json(b"[" + b",".join([values for _, values in found]) + b"]")
            if len(events) == len(found):
                return [int(step) for step, _ in found], events
            problem = "its lines and its events don't match"
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
        raise BadInput(
            f"{self._path} is damaged: {problem}.", "Restore the file from a backup, or remove the damaged line."
        )
