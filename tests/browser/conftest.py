"""A real Chromium for the tests of whatever a person sees in a browser, driven by Playwright.

The system's own is used (`chromium`, `chromium-browser`, `google-chrome`, `google-chrome-stable` on the PATH), else the
one that `playwright install chromium` brings. `make test` installs one where it can (install.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

NAMES_ON_THE_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No word to the outside: a browser's own errands (updates, sync) would only fail and slow it down.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
WITHOUT_SANDBOX = ["--no-sandbox"]  # the sandbox of Chromium cannot be had by root, which CI often is


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    executable = next((path for name in NAMES_ON_THE_PATH if (path := shutil.which(name))), None)
    if executable is None and not Path(playwright.chromium.executable_path).exists():
        pytest.skip("no Chromium: install one (apt-get install chromium) or run `playwright install chromium`")
    browser = playwright.chromium.launch(executable_path=executable, args=[*QUIET, *WITHOUT_SANDBOX])
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A window of 1440 x 900 without a network, dark unless a test says otherwise."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, offline=True, color_scheme="dark", reduced_motion="reduce"
    )
    yield context
    context.close()
