"""Everyone who watches a run gets every event once, in order, from the number that they name.

One task for each watched run looks at its file a few times a second; who watches is woken and takes what they lack.
Who is slow gets more at once, not less: nothing waits in a queue, because each watcher reads on from where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from glassbox.errors import BadInput
from glassbox.workshop.live.event_lines import EventLines
from glassbox.workspace.events import EVENTS_FILE
from glassbox.workspace.run import settled_state
from glassbox.workspace.states import FINAL, HELD_BY_A_PROCESS, State

_LOOK_EVERY = 0.2  # seconds
_STATE_EVERY = 1.0  # seconds between two looks at whether the process is still there
_EVENTS_AT_ONCE = 2000


class _WatchedRun:
    """One run's file and state, looked at for all who watch it."""

    def __init__(self, folder: Path) -> None:
        self.lines = EventLines(folder / EVENTS_FILE)
        self.state: State | None = None  # None: it was deleted
        self.watchers = 0
        self.changed = asyncio.Condition()
        self._folder = folder
        self._state_seen = 0.0
        self._last_message: tuple[int, int, str] = (0, 0, "")

    async def look(self) -> None:
        """Look once, and wake everyone if something is new."""
        grown, state = await run_in_threadpool(self._look)
        if grown or state != self.state:
            self.state = state
            async with self.changed:
                self.changed.notify_all()

    def _look(self) -> tuple[bool, State | None]:
        now, state = time.monotonic(), self.state
        if now - self._state_seen >= _STATE_EVERY or state in (*HELD_BY_A_PROCESS, None):
            self._state_seen = now
            try:  # the state before the lines: what was written before the run came to rest is then not missed
                state = settled_state(self._folder)
            except BadInput:
                state = None
        return self.lines.refresh(), state

    async def message(self, first: int) -> tuple[int, str]:
        """The events from number `first` on as JSON, and the number after the last of them. Made once for all who
        are as far as each other.
        """
        began, after, text = self._last_message
        if began == first and after == self.lines.count:
            return after, text
        lines = await run_in_threadpool(self.lines.read, first, _EVENTS_AT_ONCE)
        after = first + len(lines)
        text = f'{{"next":{after},"events":[{b",".join(lines).decode("utf-8", "replace")}]}}'
        self._last_message = (first, after, text)
        return after, text


class Watching:
    """The runs that are being watched."""

    def __init__(self) -> None:
        self._runs: dict[Path, _WatchedRun] = {}
        self._tasks: dict[Path, asyncio.Task[None]] = {}

    @property
    def watched(self) -> int:
        """How many runs are being looked at."""
        return len(self._runs)

    async def watch(self, folder: Path, first: int) -> AsyncGenerator[str]:
        """Messages as JSON: `{"next": …, "events": […]}` with what there is from number `first` on and then with what
        comes, and `{"state": …}` whenever that changes. Ends when the run is over for good, or deleted.
        """
        async with self._watched(folder) as run:
            await run.look()
            said: State | None = None
            while True:
                state = run.state
                while first < run.lines.count:
                    first, text = await run.message(first)
                    yield text
                if state != said:
                    said = state
                    yield f'{{"state":"{state or "deleted"}"}}'
                if state is None or state in FINAL:
                    return
                async with run.changed:
                    if first >= run.lines.count and run.state == said:
                        await run.changed.wait()

    @contextlib.asynccontextmanager
    async def _watched(self, folder: Path) -> AsyncGenerator[_WatchedRun]:
        run = self._runs.setdefault(folder, _WatchedRun(folder))
        run.watchers += 1
        if folder not in self._tasks:
            self._tasks[folder] = asyncio.create_task(self._look_again_and_again(run))
        try:
            yield run
        finally:
            run.watchers -= 1
            if run.watchers == 0:
                self._tasks.pop(folder).cancel()
                del self._runs[folder]

    @staticmethod
    async def _look_again_and_again(run: _WatchedRun) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await run.look()
