"""Section 1: a name becomes ids, and BOS stands at both ends, visibly different."""

from __future__ import annotations

import pytest
from looking import see
from playwright.sync_api import Page

from glassbox import microgpt


def strip(page: Page) -> tuple[list[str], list[int]]:
    rows = page.locator("#tokens .token-strip tr")
    tokens = rows.nth(1).locator("td").all_inner_texts()
    return tokens, [int(one) for one in rows.nth(2).locator("td").all_inner_texts()]


def test_ten_names_of_the_run_are_there_and_a_click_reads_one(guide: Page):
    see(guide, "tokens")
    buttons = guide.locator("#tokens .tokens-names button")
    assert buttons.count() == 10
    name = buttons.nth(3).inner_text()
    buttons.nth(3).click()
    guide.wait_for_function("name => state.get('name') === name", arg=name)
    assert strip(guide)[0] == ["BOS", *name, "BOS"]


@pytest.mark.parametrize("name", ["a", "zoe", "bartholomew", "abcdefghijklmno"])
def test_a_typed_name_gets_the_ids_of_the_python_file(guide: Page, name: str):
    see(guide, "tokens")
    guide.locator("#tokens-input").fill(name)
    guide.wait_for_function("name => state.get('name') === name", arg=name)
    characters, bos = microgpt.build_vocabulary(guide.evaluate("theRun.ownNames"))
    assert strip(guide) == (["BOS", *name, "BOS"], microgpt.tokenize(name, characters, bos))


def test_bos_looks_different_from_every_character(guide: Page):
    see(guide, "tokens")
    styles = guide.locator("#tokens .token-strip .character").evaluate_all(
        "cells => cells.map((cell) => [cell.textContent, getComputedStyle(cell).borderStyle])"
    )
    assert {style for text, style in styles if text == "BOS"} == {"dashed"}
    assert {style for text, style in styles if text != "BOS"} == {"solid"}


@pytest.mark.parametrize("typed", ["Émile", "anna7", "two words", "\U0001f600"])
def test_a_character_without_an_id_is_named_and_the_last_good_name_stays(guide: Page, typed: str):
    see(guide, "tokens")
    before = strip(guide)
    guide.locator("#tokens-input").fill(typed)
    assert "has no id" in guide.locator("#tokens-error").inner_text()
    assert strip(guide) == before


def test_an_id_that_is_clicked_says_its_name_and_its_line_of_python(guide: Page):
    see(guide, "tokens")
    guide.locator("#tokens .token-strip tr").nth(2).locator("button").nth(1).click()
    card = guide.locator("#number-card")
    assert "tokens[1]" in card.inner_text()
    assert "characters.index" in card.locator(".line").inner_text()
    guide.keyboard.press("Escape")
    assert card.is_hidden()


def test_the_prediction_is_answered_from_the_names_of_the_run(guide: Page):
    see(guide, "tokens")
    ends = [name[-1] for name in guide.evaluate("theRun.names")]
    guide.locator("#tokens-prediction button", has_text="o").last.click()
    answer = guide.locator("#tokens-prediction output")
    guide.wait_for_function("() => document.querySelector('#tokens-prediction output').textContent.includes('end in')")
    for letter in "aeno":
        assert f"{ends.count(letter):,} end in {letter}" in answer.inner_text()


def test_how_often_a_token_occurs_is_counted_and_saved_as_a_picture(guide: Page):
    see(guide, "tokens")
    counted = guide.evaluate("[...sections.get('tokens').occurrences ?? []]") or guide.evaluate(
        "[...document.getElementById('tokens-frequency').picture.data]"
    )
    text = "".join(guide.evaluate("theRun.names"))
    share = [text.count(one) for one in guide.evaluate("theRun.characters")]
    assert [round(one / counted[0], 6) for one in counted[:-1]] == [round(one / share[0], 6) for one in share]
    with guide.expect_download() as download:
        guide.locator("#tokens-frequency [data-tool=svg]").click(force=True)
    assert download.value.path().read_text(encoding="utf-8").startswith("<svg")
