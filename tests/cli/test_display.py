"""A terminal shows a bar that is redrawn; anything else gets a line now and then."""

from __future__ import annotations

import io

from rich.console import Console

from glassbox.cli import display as display_module
from glassbox.cli.display import Display
from glassbox.stages.interface import Progress
from glassbox.workspace.events import Event


def event(kind, **fields):
    return Event(0, 0.0, 1, kind, fields)


def show(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)
    with Display(console) as display:
        display.on_progress(Progress(0, 4_000_000, "bytes", "counting [pieces]"))
        display.on_progress(Progress(2_000_000, None, "bytes", "counting [pieces]"))
        display.on_progress(Progress(3, 10, "steps", "training [all]"))
        display.on_event(
            event("metrics", step=1200, values={"loss": 1.9, "learning_rate": 3e-4, "memory_bytes": 458e6})
        )
        display.on_event(event("log", message="a line with [brackets]"))
        display.on_event(event("text", name="sample", content="To be, [or] not"))
        display.on_event(event("output", of="model", reference="plays:1"))
        display.on_event(event("state", state="finished"))
    return console.file.getvalue()


def test_a_terminal_shows_the_phase_the_amount_and_the_latest_metrics():
    shown = show(terminal=True)
    assert "training [all]" in shown
    assert "3 of 10 steps" in shown
    assert "left" in shown
    assert "1,200" in shown
    assert "1.900" in shown
    assert "3.0e-04" in shown


def test_lines_worth_keeping_are_kept_everywhere_as_they_are():
    for terminal in (True, False):
        shown = show(terminal=terminal)
        for words in ("a line with [brackets]", "To be, [or] not", "made the model plays:1"):
            assert words in shown


def test_where_nothing_can_be_redrawn_progress_comes_in_plain_lines_now_and_then(monkeypatch):
    assert "of 10 steps" not in show(terminal=False)
    monkeypatch.setattr(display_module, "_PLAIN_EVERY", 0.0)
    shown = show(terminal=False)
    assert "counting [pieces]  0 B of 4.0 MB" in shown
    assert "counting [pieces]  2.0 MB\n" in shown
    assert "training [all]  3 of 10 steps" in shown
    assert "step 1,200  loss 1.900  learning rate 3.0e-04  memory 458 MB" in shown
    assert "\x1b" not in shown


def plotted(height: int) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=height, highlight=False)
    with Display(console, plotted=True) as display:
        display.on_progress(Progress(0, 3, "steps", "training"))
        for step in (1, 2, 3):
            values = {"lists_loss": 4.0 - step, "arrays_loss": 4.0 - step, "learning_rate": 0.1}
            display.on_event(event("metrics", step=step, values=values))
    return console.file.getvalue()


def test_losses_are_drawn_over_one_another_while_they_come_if_wanted():
    shown = plotted(height=30)
    assert "lists loss 1\x1b" in shown.replace("    ", "\x1b")
    assert "arrays loss" in shown
    assert "┤" in shown
    assert "training" in shown


def test_a_terminal_too_low_for_a_plot_shows_the_bar_alone():
    shown = plotted(height=10)
    assert "┤" not in shown
    assert "training" in shown
