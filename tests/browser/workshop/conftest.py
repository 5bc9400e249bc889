"""A running workshop, as `glassbox workshop` starts it, and a real Chromium that reaches nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route

from glassbox.workspace import Workspace

PASSWORD = "blue horses dance slowly"
StartWorkshop = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run in every state that needs no process."""
    folder = tmp_path_factory.mktemp("workspace")
    runs = Workspace(folder).runs
    for stage, name in (("collect", "shakespeare"), ("train-tokenizer", "shakespeare-1k"), ("pretrain", "tiny-gpt")):
        runs.create(stage, name=name, settings={}, inputs={})
    runs.cancel(runs.create("evaluate", name="tiny-gpt-report", settings={}, inputs={}).id)
    return folder


@pytest.fixture(scope="module")
def start_workshop(folder: Path) -> Iterator[StartWorkshop]:
    """Starts `glassbox workshop` with these options; gives the address that it prints."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        command = [sys.executable, "-m", "glassbox", "workshop", "--port", "0", "--workspace", str(folder), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield start
    for process in started:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def way_in(start_workshop: StartWorkshop) -> str:
    """The one-time address of a workshop for one."""
    return start_workshop()


@pytest.fixture(scope="module")
def for_many(folder: Path, start_workshop: StartWorkshop) -> str:
    """The address of a workshop for many, in which `ada` is an owner."""
    command = [
        sys.executable,
        "-m",
        "glassbox",
        "accounts",
        "add",
        "ada",
        "--role",
        "owner",
        "--workspace",
        str(folder),
    ]
    subprocess.run(command, input=PASSWORD, text=True, check=True)
    return start_workshop("--people", "many")


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A window that reaches this machine only, and whose pages complain neither of faults nor of the policy."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark", reduced_motion="reduce")
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            complaints.append(message.text)

    def only_here(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            complaints.append(f"asked for {route.request.url}")
            route.abort()

    context.on("console", note)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.route("http*://**", only_here)
    yield context
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def session(browser: Browser, way_in: str) -> list[Any]:
    """The cookies of a browser that has come in by the one-time address, as another one takes them."""
    context = browser.new_context()
    context.new_page().goto(way_in)
    cookies = context.cookies()
    context.close()
    return [dict(cookie) for cookie in cookies]


@pytest.fixture
def page(window: BrowserContext, session: list[Any], way_in: str) -> Page:
    """The first page of the workshop for one, come in."""
    window.add_cookies(session)
    page = window.new_page()
    page.goto(way_in.partition("/open")[0])
    return page
