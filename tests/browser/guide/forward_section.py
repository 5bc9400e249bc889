"""What the tests of section 4 read, and how they ask the engine about it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

NAME = "emma"


def look_at(page: Page, **keys: object) -> None:
    """Set what is looked at and wait until it has been drawn."""
    page.evaluate("keys => { for (const [key, value] of Object.entries(keys)) state.set(key, value); }", keys)
    page.wait_for_function("() => { const one = sections.get('forward'); return !one.stale && !one.drawing; }")


def trace(page: Page, expression: str) -> Any:
    """Something of the engine's own answer for the name and the step that are looked at."""
    return page.evaluate(
        f"() => engine.call('trace', state.get('name'), {{step: state.get('step')}}).then((trace) => {expression})"
    )
