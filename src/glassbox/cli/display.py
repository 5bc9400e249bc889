"""What a person sees while a stage runs: a bar with the time left, the latest metrics, and lines worth keeping.

On a terminal these are redrawn in place. Anywhere else (a file, a CI log) they are plain lines, a few a minute.
"""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.text import Text

from glassbox.cli.numbers import duration, measured, number, size
from glassbox.stages.interface import Progress
from glassbox.workspace.events import Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PLAIN_EVERY = 10.0  # seconds between two lines about the progress where nothing can be redrawn
_REDRAWN = 8  # times a second
_PLOTTED_EVERY = 0.25  # seconds, or so many times what a picture takes:
_TIMES_A_PICTURE = 4
_LINES_BELOW = 5  # of a terminal, which a plot leaves: the names above it, bar, metrics, the prompt
_LOWEST_PLOT = 8  # lines


class Display:
    """A `stages.interface.Watcher` that writes to a console; use it as a context manager.

    plotted: on a terminal, draw the losses as they come.
    """

    def __init__(self, console: Console, *, plotted: bool = False) -> None:
        self._console = console
        self._face: _Live | _Plain = _Live(console, plotted=plotted) if console.is_terminal else _Plain(console)

    def __enter__(self) -> Display:
        self._face.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._face.stop()

    def on_progress(self, progress: Progress) -> None:
        self._face.progress(progress)

    def on_event(self, event: Event) -> None:
        match event.kind:
            case "metrics":
                self._face.metrics(event)
            case "log":
                self._console.print(Text(event.fields["message"]))
            case "text":
                self._console.print(Text(f"{event.fields['name']}:", style="dim"))
                self._console.print(Text(event.fields["content"]), soft_wrap=True)
            case "output":
                self._console.print(Text(f"made the {event.fields['of']} {event.fields['reference']}", style="dim"))
            case _:
                pass


class _Live:
    """A bar and a line of metrics at the bottom of a terminal; the losses above them, if they shall be plotted."""

    def __init__(self, console: Console, *, plotted: bool) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._console = console
        self._metrics = Text()
        self._plot = _LivePlot() if plotted else None
        self._note: str | None = None
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24, style="dim", complete_style="", finished_style=""),
            TextColumn("{task.fields[amount]}", justify="right", markup=False),
            TimeElapsedColumn(),
            TextColumn("[dim]left"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._live = Live(console=console, get_renderable=self._drawn, transient=True, refresh_per_second=_REDRAWN)

    def start(self) -> None:
        if self._plot is not None:
            import plotext  # noqa: F401  (which takes as long as many pictures)
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def progress(self, progress: Progress) -> None:
        if progress.note != self._note:  # another phase has another pace
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._bars.add_task(progress.note, total=progress.total, completed=progress.done, amount="")  # pyright: ignore[reportArgumentType]  (Rich takes None: unknown)
            self._note = progress.note
        task = self._bars.task_ids[0]
        self._bars.update(task, completed=progress.done, total=progress.total, amount=_amount(progress))

    def metrics(self, event: Event) -> None:
        self._metrics = _metrics_line(event)
        if self._plot is not None:
            self._plot.add(event)

    def _drawn(self) -> RenderableType:
        from rich.console import Group

        drawn = None if self._plot is None else self._plot.drawn(*self._console.size)
        return Group(*([] if drawn is None else [drawn]), self._bars, self._metrics)


class _LivePlot:
    """The losses of a run that goes on."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._last: Text | None = None
        self._until = 0  # events that the last picture shows
        self._next = 0.0  # when to draw another

    def add(self, event: Event) -> None:
        self._events.append(event)

    def drawn(self, width: int, height: int) -> Text | None:
        """A picture that leaves room for the lines below; none where the terminal is too low, or before two steps."""
        from glassbox.cli.plot import HEIGHT, WIDEST, plot
        from glassbox.workspace.curves import curves, losses

        rows = min(HEIGHT, height - _LINES_BELOW)
        now, count = time.monotonic(), len(self._events)
        if rows < _LOWEST_PLOT:
            return None
        if count > self._until and now >= self._next:
            chosen = losses(curves(self._events[:count]))
            self._last = plot(chosen, width=min(width, WIDEST), colour=True, height=rows)
            self._until, self._next = count, now + max(_PLOTTED_EVERY, _TIMES_A_PICTURE * (time.monotonic() - now))
        return self._last


class _Plain:
    """A line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = self._told_progress = self._told_metrics = time.monotonic()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told_progress >= _PLAIN_EVERY:
            self._told_progress = now
            since = duration(now - self._start)
            self._console.print(Text(f"{since}  {progress.note}  {_amount(progress)}", style="dim"), soft_wrap=True)

    def metrics(self, event: Event) -> None:
        now = time.monotonic()
        if now - self._told_metrics >= _PLAIN_EVERY:
            self._told_metrics = now
            self._console.print(_metrics_line(event), soft_wrap=True)


def _amount(progress: Progress) -> str:
    """`1,200 of 2,000 steps`"""
    if progress.unit == "bytes":
        return size(progress.done) if progress.total is None else f"{size(progress.done)} of {size(progress.total)}"
    total = "" if progress.total is None else f" of {number(progress.total)}"
    return f"{number(progress.done)}{total} {progress.unit}".rstrip()


def _metrics_line(event: Event) -> Text:
    """`step 1,200  loss 1.873  learning rate 3.0e-04`"""
    line = Text.assemble(("step ", "dim"), number(event.fields["step"]))
    for name, value in event.fields["values"].items():
        line.append(f"  {name.removesuffix('_bytes').replace('_', ' ')} ", "dim")
        shown = size(value) if name.endswith("_bytes") and math.isfinite(value) else measured(value)
        line.append(shown, "red" if name.endswith("loss") else "")
    return line
