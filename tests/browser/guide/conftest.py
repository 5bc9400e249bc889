"""The guide, opened from its file in a real Chromium without a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from looking import open_guide
from playwright.sync_api import BrowserContext, Page


@pytest.fixture
def guide(context: BrowserContext) -> Iterator[Page]:
    """The guide with its run begun. A fault that the page reports fails the test."""
    page, faults = open_guide(context)
    yield page
    assert faults == []
