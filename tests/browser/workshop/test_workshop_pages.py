"""The workshop's own pages in a real browser: coming in, looking round, logging out; nothing breaks their policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from glassbox.workshop.access.guards import SESSION_COOKIE

PASSWORD = "blue horses dance slowly"
StartWorkshop = Callable[..., str]


def test_the_printed_address_leads_in_leaves_no_token_behind_and_logging_out_shuts_the_door(
    window: BrowserContext, start_workshop: StartWorkshop
):
    way_in = start_workshop()
    page = window.new_page()
    page.goto(way_in)
    page.wait_for_url(re.compile(r"^http://127\.0\.0\.1:\d+/$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Workshop")
    assert "token" not in page.url
    (cookie,) = window.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (SESSION_COOKIE, True, "Strict")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This browser isn't known yet")
    assert window.cookies() == []


def test_an_address_that_was_used_says_how_to_get_another(page: Page, way_in: str):
    page.goto(way_in)
    expect(page.get_by_role("heading", level=1)).to_contain_text("used already")
    expect(page.get_by_role("main")).to_contain_text("glassbox workshop-link")


def test_a_browser_that_nobody_knows_is_told_how_to_come_in(window: BrowserContext, way_in: str):
    page = window.new_page()
    page.goto(way_in.partition("/open")[0])
    expect(page.get_by_role("heading", level=1)).to_have_text("This browser isn't known yet")
    expect(page.get_by_role("main")).to_contain_text("glassbox workshop-link")


def test_the_newest_runs_stand_with_their_states(page: Page):
    rows = page.get_by_role("row").all_inner_texts()[1:]
    assert len(rows) == 4
    assert "cancelled" in rows[0]
    assert "tiny-gpt" in rows[1]
    link = page.get_by_role("link", name=re.compile("^pretrain-"))
    assert link.get_attribute("href") == f"/api/runs/{link.inner_text()}"


def test_the_guide_computes_under_the_policy(page: Page):
    page.get_by_role("link", name="The guide").click()
    page.wait_for_function("() => state.get('run') > 0")


def test_the_api_can_be_read_and_tried_under_the_policy(page: Page):
    page.get_by_role("link", name="The API").click()
    operation = page.locator("#operations-Health-get_health")
    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response").first).to_contain_text("200")


def test_many_people_log_in_by_name(window: BrowserContext, for_many: str):
    page = window.new_page()
    page.goto(for_many)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong.")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Workshop")
    expect(page.get_by_role("banner")).to_contain_text("ada")


def test_an_invited_person_chooses_a_password_and_is_in(window: BrowserContext, for_many: str):
    owner = window.new_page()
    owner.goto(for_many)
    credentials = {"name": "ada", "password": PASSWORD}
    assert owner.request.post(f"{for_many}/api/login", data=credentials).ok
    address = owner.request.post(f"{for_many}/api/people", data={"name": "bo"}).json()["address"]
    owner.request.delete(f"{for_many}/api/session")
    page = window.new_page()
    page.goto(address)
    expect(page.get_by_role("main")).to_contain_text("bo")
    page.get_by_label("Password").fill("1234567890")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("among the first")
    page.get_by_label("Password").fill("green boats sing")
    page.get_by_role("button").click()
    expect(page.get_by_role("banner")).to_contain_text("bo · member")


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1440, 768, 360])
def test_axe_finds_nothing_and_nothing_sticks_out(
    page: Page, for_many: str, way_in: str, scheme: Literal["dark", "light"], width: int
):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    here = way_in.partition("/open")[0]
    for address, heading in (
        (here, "Workshop"),
        (way_in, "This address was used already, or is too old."),
        (f"{here}/api/runs/nothing/events", "There is no run called 'nothing'."),
        (for_many, "Log in"),
    ):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{address}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
