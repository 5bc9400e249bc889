"""Section 7 of the guide: names are written token by token, with Python's random numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from looking import opened_guide, see
from playwright.sync_api import Browser, Page, expect

from glassbox import microgpt

STEPS = 2  # of the whole run, so that Python can train the same one in a moment


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The guide with a run of a few steps, trained to its end: once for all tests here. And the faults reported."""
    with opened_guide(browser) as (page, faults):
        page.evaluate(
            "async steps => { theRun.settings.steps = steps; await openRun(); await trainUntil(steps, null); }", STEPS
        )
        yield page, faults


@pytest.fixture
def inference(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The section at the end of training, nothing chosen yet."""
    page, faults = opened
    page.evaluate("steps => { state.readFragment(`#inference?name=emma&step=${steps}`); scrollTo(0, 0); }", STEPS)
    see(page, "inference")
    wait(
        page,
        f"shown?.settings.step === {STEPS} && shown.settings.temperature === 0.5 && own.sample === shown.samples[0]"
        " && !shown.settings.topK && !shown.settings.topP && !shown.settings.beginning && own.written.chosen === 0",
    )
    faults.clear()
    yield page
    assert faults == []


def wait(page: Page, condition: str) -> None:
    """Until `condition` holds; `own` is the section's object, `shown` the samples that it shows and their settings."""
    page.wait_for_function(f"() => {{ const own = sections.get('inference'), shown = own.shown; return {condition}; }}")


def samples(page: Page, **settings: object) -> list[dict[str, Any]]:
    """The engine's own answer."""
    return page.evaluate(
        "async settings => (await engine.ask('sample', { step: state.get('step'), count: 20, ...settings })).samples",
        settings,
    )


def names(page: Page) -> list[str]:
    return page.locator("#inference-many .name").all_inner_texts()


def column(page: Page, place: int) -> tuple[float, float]:
    page.locator("#inference-name canvas").scroll_into_view_if_needed()
    return tuple(
        page.evaluate(
            """place => { const host = document.querySelector("figure#inference-name");
            const frame = host.querySelector("canvas").getBoundingClientRect(), box = host.picture.box(0, place);
            return [frame.left + box.x + box.width / 2, frame.top + 24]; }""",
            place,
        )
    )


def number(text: str) -> float:
    return float(text.strip().replace("−", "-"))


def test_the_names_at_the_end_are_those_that_the_python_file_writes(inference: Page):
    given = inference.evaluate("theRun.given")
    of_python = microgpt.run(given, steps=STEPS, samples=3, report=lambda line: None)["samples"]
    assert names(inference)[:3] == of_python
    assert "These are the 20 names that microgpt.py prints" in inference.locator("#inference-copied").inner_text()


def test_any_other_setting_does_not_claim_to_be_the_python_file_s(inference: Page):
    for key, value in (("temperature", 0.6), ("topK", 5), ("topP", 0.9), ("beginning", "a"), ("step", STEPS - 1)):
        before = inference.evaluate("key => state.get(key)", key)
        inference.evaluate("([key, value]) => state.set(key, value)", [key, value])
        inference.wait_for_function(
            "() => !document.querySelector('#inference-copied').textContent.startsWith('These are')"
        )
        inference.evaluate("([key, value]) => state.set(key, value)", [key, before])
        inference.wait_for_function(
            "() => document.querySelector('#inference-copied').textContent.startsWith('These are')"
        )


def test_under_each_token_stand_the_likeliest_of_that_moment(inference: Page):
    sample = samples(inference)[0]
    columns = inference.evaluate("sections.get('inference').written.columns")
    labels = inference.evaluate("theRun.labels")
    assert [one["label"] for one in columns] == [labels[token] for token in sample["tokens"]]
    for column_shown, position in zip(columns, sample["positions"], strict=True):
        probabilities = position["probabilities"]
        likeliest = sorted(probabilities, reverse=True)[:5]
        assert [one["probability"] for one in column_shown["candidates"]][:5] == likeliest
        assert sum(one["chosen"] for one in column_shown["candidates"]) == 1
        assert column_shown["probability"] == probabilities[position["token"]]


def test_the_temperature_divides_the_logits_before_softmax(inference: Page):
    inference.locator("#inference-temperature").fill("2")
    wait(inference, "shown.settings.temperature === 2")
    assert inference.locator("#inference-temperature-value").inner_text() == "2.0"
    after, before = inference.evaluate(
        "[[...sections.get('inference').bars.data], [...sections.get('inference').bars.before]]"
    )
    flattened = [probability**0.5 for probability in before]
    assert after == pytest.approx([one / sum(flattened) for one in flattened], abs=1e-12)
    assert names(inference) == [one["text"] or "(nothing)" for one in samples(inference, temperature=2)]


def test_top_k_and_top_p_outline_what_they_cut(inference: Page):
    inference.locator("#inference-top-k").fill("6")
    inference.locator("#inference-top-p").fill("0.5")
    wait(inference, "shown.settings.topK === 6 && shown.settings.topP === 0.5")
    kept, probabilities, pieces = inference.evaluate(
        """() => { const { bars, draws } = sections.get("inference"), data = [...bars.data];
            return [data.map((_, id) => bars.kept(id)), data, draws.pieces]; }"""
    )
    by_probability = sorted(range(len(kept)), key=lambda token: -probabilities[token])
    expected, reached = set(), 0.0
    six = by_probability[:6]
    for token in six:
        expected.add(token)
        reached += probabilities[token]
        if reached >= 0.5 * sum(probabilities[one] for one in six):
            break
    assert {token for token, one in enumerate(kept) if one} == expected == {piece["token"] for piece in pieces}
    assert names(inference) == [one["text"] or "(nothing)" for one in samples(inference, topK=6, topP=0.5)]


def test_the_random_number_shown_is_python_s_and_falls_where_it_says(inference: Page):
    in_turn = random.Random(42)
    order = inference.evaluate("theRun.given")
    in_turn.shuffle(order)
    for _ in range(inference.evaluate("theRun.weightNames.length")):
        in_turn.gauss(0, 0.08)
    for place in range(len(samples(inference)[0]["tokens"])):
        inference.evaluate("place => state.set('place', place)", place)
        wait(inference, f"own.written.chosen === {place}")
        fell, pieces, chosen = inference.evaluate(
            "() => { const { fell, pieces, chosen } = sections.get('inference').draws; return [fell, pieces, chosen]; }"
        )
        assert fell == in_turn.random()
        hit = next(piece for piece in pieces if piece["token"] == chosen)
        assert hit["from"] <= fell < hit["to"]
        assert number(inference.locator("#inference-draw-sentence button").inner_text()) == pytest.approx(
            fell, abs=1e-4
        )


def test_a_click_on_a_token_shows_the_whole_distribution_of_its_place(inference: Page):
    inference.mouse.click(*column(inference, 2))
    wait(inference, "own.written.chosen === 2")
    position = samples(inference)[0]["positions"][2]
    assert inference.evaluate("[...sections.get('inference').bars.data]") == position["probabilities"]
    assert inference.evaluate("[...sections.get('inference').bars.before]") == position["atOne"]
    assert len(position["probabilities"]) == 27
    inference.keyboard.press("Escape")
    inference.locator("#inference-title").click()
    inference.keyboard.press("ArrowLeft")
    wait(inference, "own.written.chosen === 1")


def test_every_number_says_where_it_comes_from(inference: Page):
    inference.locator("#inference-chance button").first.click()
    card = inference.locator("#number-card")
    assert card.locator("h3").inner_text() == "probability of the name"
    assert "logit / temperature" in card.inner_text()
    inference.keyboard.press("Escape")
    surface = inference.locator("#inference-bars .surface")
    surface.focus()
    surface.press("Enter")
    assert card.locator("h3").inner_text() == "probabilities[0][0]"
    assert "at temperature 1" in card.inner_text()
    inference.keyboard.press("Escape")


def test_the_probability_of_the_whole_name_is_the_product_over_its_tokens(inference: Page):
    inference.locator("#inference-top-k").fill("8")
    wait(inference, "shown.settings.topK === 8")
    positions = samples(inference, topK=8)[0]["positions"]
    by_model, drawn = (number(one.inner_text()) for one in inference.locator("#inference-chance button").all())
    chances = [
        one["probabilities"][one["token"]] / sum(one["probabilities"][id] for id in one["kept"]) for one in positions
    ]
    assert drawn == pytest.approx(math.prod(chances), rel=0.06)
    assert by_model == pytest.approx(math.prod(one["atOne"][one["token"]] for one in positions), rel=0.06)


def test_sample_again_goes_on_with_the_random_numbers_beyond_the_first_twenty(inference: Page):
    everything = samples(inference, count=40)
    inference.evaluate("state.set('sample', 18)")
    wait(inference, "own.sample === shown.samples[18]")
    for number_shown in (19, 20):
        inference.get_by_role("button", name="Sample again").click()
        wait(inference, f"own.sample === shown.samples[{number_shown}]")
        assert inference.locator("#inference-number").inner_text() == str(number_shown + 1)
        assert inference.evaluate("sections.get('inference').sample.text") == everything[number_shown]["text"]
    assert names(inference) == [one["text"] or "(nothing)" for one in everything[20:]]
    assert "go on with its random numbers" in inference.locator("#inference-copied").inner_text()


def test_names_of_the_list_are_marked_and_counted(inference: Page):
    known = samples(inference)[3]["text"]
    inference.evaluate(
        "known => { theRun.names = [...theRun.given.filter((name) => name !== known), known]; state.set('place', 1); }",
        known,
    )
    wait(inference, "own.written.chosen === 1")
    listed = set(inference.evaluate("theRun.names"))
    kinds = inference.locator("#inference-many .kind").all_inner_texts()
    assert kinds == ["in the list" if name in listed else "new" for name in names(inference)]
    copied = kinds.count("in the list")
    assert kinds[3] == "in the list"
    assert f"{copied} of 20 are copies of names in the list" in inference.locator("#inference-many-title").inner_text()
    inference.evaluate("theRun.names = theRun.given")


def test_a_click_on_a_name_shows_how_it_was_written(inference: Page):
    inference.locator("#inference-many button").nth(6).click()
    wait(inference, "own.sample === shown.samples[6]")
    assert "".join(
        one["label"] for one in inference.evaluate("sections.get('inference').written.columns")
    ).removesuffix("BOS") == names(inference)[6].replace("(nothing)", "")


def test_a_name_goes_on_from_a_typed_beginning(inference: Page):
    inference.locator("#inference-beginning").fill("mar")
    wait(inference, "shown.settings.beginning === 'mar'")
    assert all(name.startswith("mar") for name in names(inference))
    given = inference.evaluate("sections.get('inference').written.columns.map((one) => one.given)")
    assert given[:3] == [True] * 3
    assert not any(given[3:])
    assert "was given" in inference.locator("#inference-draw-sentence").inner_text()
    inference.locator("#inference-beginning").fill("ma7")
    assert "“7” occurs in no name" in inference.locator("#inference-error").inner_text()
    assert inference.evaluate("state.get('beginning')") == "mar"
    inference.locator("#inference-beginning").fill("")
    wait(inference, "shown.settings.beginning === ''")
    assert inference.locator("#inference-error").inner_text() == ""


def test_an_untrained_model_is_called_untrained(inference: Page):
    note = inference.locator("#inference-untrained")
    assert not note.is_visible()
    inference.evaluate("state.set('step', 0)")
    note.wait_for(state="visible")
    assert "untrained" in note.inner_text()


def test_a_name_is_typed_letter_by_letter_and_at_once_with_reduced_motion(inference: Page):
    inference.get_by_role("button", name="Sample again").click()
    wait(inference, "own.sample === shown.samples[1]")
    assert inference.evaluate(
        "() => { const { typed, columns } = sections.get('inference').written; return typed === columns.length; }"
    )
    inference.emulate_media(reduced_motion="no-preference")
    try:
        inference.evaluate(
            """() => { WrittenName.PACE = 10; window.lengths = [];
                const { written } = sections.get("inference"), draw = written.draw;
                written.draw = function () { lengths.push(this.typed); draw.call(this); }; }"""
        )
        inference.get_by_role("button", name="Sample again").click()
        wait(inference, "own.sample === shown.samples[2] && own.written.typed === own.written.columns.length")
        lengths = inference.evaluate("lengths")
        assert sorted(set(lengths)) == list(range(lengths[-1] + 1))  # no letter is left out
    finally:
        inference.emulate_media(reduced_motion="reduce")
        inference.evaluate("delete sections.get('inference').written.draw")


def test_the_prediction_is_answered_from_the_run(inference: Page):
    listed = set(inference.evaluate("theRun.names"))
    copied = sum(one["text"] in listed for one in samples(inference, temperature=2))
    box = inference.locator("#inference-prediction")
    box.get_by_role("button", name="none").click()
    inference.wait_for_function(
        "() => document.querySelector('#inference-prediction output').textContent.includes('of the 20')"
    )
    assert f"{copied} of the 20 are in the list" in box.inner_text()
    assert ("As you said." in box.inner_text()) == (copied == 0)


def test_the_settings_stand_in_the_address(inference: Page):
    wanted = {"temperature": 1.3, "topK": 9, "topP": 0.85, "beginning": "jo", "sample": 4, "place": 3}
    inference.evaluate(
        "wanted => { for (const [key, value] of Object.entries(wanted)) state.set(key, value); }", wanted
    )
    fragment = inference.evaluate("state.fragment()")
    inference.evaluate("state.readFragment('#inference')")
    assert inference.evaluate("state.get('temperature')") == 0.5
    inference.evaluate("fragment => state.readFragment(fragment)", fragment)
    assert (
        inference.evaluate("keys => Object.fromEntries(keys.map((key) => [key, state.get(key)]))", list(wanted))
        == wanted
    )
    inference.evaluate("state.readFragment('#inference?temperature=90&topK=none&topP=2&sample=-1&name=emma&step=2')")
    assert inference.evaluate("['temperature', 'topK', 'topP', 'sample'].map((key) => state.get(key))") == [
        0.5,
        0,
        1,
        0,
    ]


def test_what_is_pointed_at_lights_its_line_of_python(inference: Page):
    inference.evaluate("document.querySelector('#inference details').open = true")
    inference.mouse.move(0, 0)  # a figure that scrolls under a resting mouse is pointed at, too
    for figure, line in (("bars", "probabilities = softmax("), ("draw", "random.choices("), ("name", "name += ")):
        inference.locator(f"figure#inference-{figure} .surface").focus()
        expect(inference.locator("#inference .python .row.now")).to_contain_text(line)
