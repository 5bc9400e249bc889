"""The guide, opened from its file in a real Chromium without a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from forward_section import NAME, look_at
from looking import open_guide, opened_guide, see
from playwright.sync_api import Browser, BrowserContext, Page


@pytest.fixture
def guide(context: BrowserContext) -> Iterator[Page]:
    """The guide with its run begun. A fault that the page reports fails the test."""
    page, faults = open_guide(context)
    yield page
    assert faults == []


@pytest.fixture(scope="module")
def read_by_forward(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The guide, trained for five steps: once for all tests here. And the faults that it has reported."""
    with opened_guide(browser) as (page, faults):
        page.evaluate("() => trainUntil(5, null)")
        yield page, faults


@pytest.fixture
def forward(read_by_forward: tuple[Page, list[str]]) -> Iterator[Page]:
    """The section, reading one name after five steps of training, nothing chosen yet."""
    page, faults = read_by_forward
    page.emulate_media(reduced_motion="reduce")
    page.keyboard.press("Escape")
    page.evaluate("name => state.readFragment(`#forward?step=5&name=${name}`)", NAME)
    see(page, "forward")
    look_at(page)
    page.wait_for_function(
        """name => {
            const { graph, moment } = sections.get('forward');
            return moment.trace.text === name && graph.path?.weight === state.get('weight');
        }""",
        arg=NAME,
    )
    page.evaluate(
        """() => {
            document.activeElement?.blur();
            document.querySelector('#forward-stepgraph [data-tool="table"][aria-pressed="true"]')?.click();
            return sections.get('forward').graph.goTo('modules');
        }"""
    )
    yield page
    assert faults == []
