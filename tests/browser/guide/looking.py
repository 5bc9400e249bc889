"""Where the guide is, and how a test looks at a section of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "guide" / "microgpt.html"


def open_guide(context: BrowserContext) -> tuple[Page, list[str]]:
    """The guide with its run begun, and the list that every fault goes to that the page reports."""
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(GUIDE.as_uri())
    page.wait_for_function("() => state.get('run') > 0")
    return page, faults


@contextmanager
def opened_guide(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The guide in a window of 1440 x 900 without a network or motion, for all tests of a file; and its faults."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, offline=True, color_scheme="dark", reduced_motion="reduce"
    )
    yield open_guide(context)
    context.close()


def see(page: Page, section: str) -> None:
    """Scroll to a section and wait until it has drawn the moment that is looked at.

    The sections above it grow as they are drawn and push it down: it is held in sight until then.
    """
    page.wait_for_function(
        """id => {
            const section = document.getElementById(id);
            if (Math.abs(section.getBoundingClientRect().top) > 100) section.scrollIntoView({behavior: 'instant'});
            return state.section === id && section.dataset.drawn === `${state.get('run')}:${state.get('step')}`;
        }""",
        arg=section,
    )
