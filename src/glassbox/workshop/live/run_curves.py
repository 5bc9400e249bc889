"""The curves of runs, kept while someone looks at them: what was read once isn't read again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from glassbox.workspace.curves import GrowingCurves, LongCurve
from glassbox.workspace.events import EVENTS_FILE

_KEPT = 5_000_000  # points of all runs together, eighty megabytes


class RunCurves:
    """The curves of any run, by its folder. Those that were asked for longest ago are forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, GrowingCurves] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[Path, threading.Lock] = {}

    def of(self, folder: Path) -> dict[str, LongCurve]:
        """Every metric by name, up to this moment. Raises BadInput if the run's events are damaged."""
        with self._lock:
            growing = self._kept.setdefault(folder, GrowingCurves(folder / EVENTS_FILE))
            self._kept.move_to_end(folder)
            reading = self._reading.setdefault(folder, threading.Lock())
        with reading:  # two who look at the same run don't read it twice
            found = {name: curve.between(None, None) for name, curve in growing.update().items()}  # a copy
        self._forget_some()
        return found

    def _forget_some(self) -> None:
        with self._lock:
            while len(self._kept) > 1 and sum(growing.points for growing in self._kept.values()) > _KEPT:
                folder, _ = self._kept.popitem(last=False)
                del self._reading[folder]
