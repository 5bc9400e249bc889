"""Section 5 of the guide: who looks at whom, what is taken from there, and what the loss is without it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from looking import opened_guide, see
from playwright.sync_api import Browser, Page, expect

from glassbox import microgpt

NAME = "emma"


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The guide, trained for twelve steps: once for all tests here. And the faults that it has reported."""
    with opened_guide(browser) as (page, faults):
        page.evaluate("trainUntil(12, null)")
        yield page, faults


@pytest.fixture
def attention(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The section as it is after twelve steps, nothing chosen yet."""
    page, faults = opened
    page.evaluate("name => { state.readFragment(`#attention?step=12&name=${name}`); scrollTo(0, 0); }", NAME)
    see(page, "attention")
    wait(
        page,
        f"reading?.name === '{NAME}' && reading.step === 12 && own.looking === '0:1:{NAME}'"
        " && own.factor.loss.marked === 1",
    )
    faults.clear()
    yield page
    assert faults == []


def wait(page: Page, condition: str) -> None:
    """Until `condition` holds; `own` is the section's object, `reading` the attention that it shows."""
    page.wait_for_function(
        f"() => {{ const own = sections.get('attention'), reading = own.reading; return {condition}; }}"
    )


def trace(page: Page, **change: object) -> dict[str, Any]:
    """The engine's own numbers: weights (positions x heads x positions), mixed values, loss, probabilities."""
    return page.evaluate(
        """async change => {
            const { values, loss, targets } =
                await engine.ask("trace", state.get("name"), { step: state.get("step"), ...change });
            const numbers = (name) => [...values[name].data];
            const attention = Object.fromEntries(
                ["scores", "weights", "mixed"].map((kind) => [kind, numbers(`layer0.attention.${kind}`)]));
            return { ...attention, probabilities: numbers("probabilities"), loss, targets: [...targets] };
        }""",
        change,
    )


def click_cell(page: Page, figure: str, row: int, column: int) -> None:
    page.locator(figure).scroll_into_view_if_needed()
    x, y = page.evaluate(
        """([figure, row, column]) => {
            const host = document.querySelector(figure), frame = host.querySelector("canvas").getBoundingClientRect();
            const box = host.picture.box(row, column);
            return [frame.left + box.x + box.width / 2, frame.top + box.y + box.height / 2];
        }""",
        [figure, row, column],
    )
    page.mouse.click(x, y)


def number(text: str) -> float:
    return float(text.strip().replace("−", "-"))


def figure_of_head(head: int) -> str:
    return f".attention-head:nth-child({head + 1}) figure"


def table(page: Page, name: str) -> list[list[str]]:
    """The rows of a picture of cells: label, numbers."""
    return page.evaluate("name => document.querySelector(`#attention-${name}`).picture.table().rows", name)


def softmax(scores: list[float]) -> list[float]:
    largest = max(scores)
    exponentials = [math.exp(score - largest) for score in scores]
    return [one / sum(exponentials) for one in exponentials]


def products(x: list[microgpt.Value], matrix: list[list[microgpt.Value]]) -> list[list[microgpt.Value]]:
    return [[weight * number for weight, number in zip(row, x, strict=True)] for row in matrix]


def weights_in_python(page: Page) -> list[list[list[float]]]:
    """The attention weights [head][position][key] of NAME with the first weights of the run, from microgpt's parts."""
    names = page.evaluate("theRun.given")
    random.seed(42)
    random.shuffle(names)
    characters, bos = microgpt.build_vocabulary(names)
    matrices = microgpt.build_parameters(len(characters) + 1, layers=1, width=16, context=16)
    queries, keys = [], []
    for position, token in enumerate(microgpt.tokenize(NAME, characters, bos)[:-1]):
        x = [a + b for a, b in zip(matrices["wte"][token], matrices["wpe"][position], strict=True)]
        x = microgpt.rmsnorm(microgpt.rmsnorm(x))
        queries.append([sum(row, microgpt.Value(0.0)).data for row in products(x, matrices["layer0.attn_wq"])])
        keys.append([sum(row, microgpt.Value(0.0)).data for row in products(x, matrices["layer0.attn_wk"])])
    heads = []
    for first in range(0, 16, 4):
        fit = [[sum(q[i] * k[i] for i in range(first, first + 4)) / 2 for k in keys] for q in queries]
        heads.append([softmax(fit[position][: position + 1]) for position in range(len(fit))])
    return heads


def test_the_four_heatmaps_show_the_weights_that_microgpt_computes_and_leave_the_future_empty(attention: Page):
    attention.evaluate("state.set('step', 0)")
    wait(attention, "reading.step === 0")
    for head, rows in enumerate(weights_in_python(attention)):
        shown = attention.evaluate(
            """figure => { const map = document.querySelector(figure).picture;
                const places = [0, 1, 2, 3, 4], at = (row, key) => map.isHidden(row, key) ? null : map.value(row, key);
                return places.map((row) => places.map((key) => at(row, key))); }""",
            figure_of_head(head),
        )
        for position, row in enumerate(rows):
            assert shown[position][: position + 1] == pytest.approx(row, abs=1e-12)
            assert shown[position][position + 1 :] == [None] * (4 - position)


def test_the_four_heatmaps_are_equal_in_size_and_label_their_tokens(attention: Page):
    sizes = attention.evaluate(
        "[...document.querySelectorAll('.attention-head canvas')].map((one) => [one.clientWidth, one.clientHeight])"
    )
    assert len(sizes) == 4
    assert all(size == sizes[0] for size in sizes)
    labels = attention.evaluate("document.querySelector('.attention-head figure').picture.options.rowLabels")
    assert labels == ["BOS", *NAME]


def test_a_click_on_a_cell_writes_out_its_dot_product(attention: Page):
    click_cell(attention, figure_of_head(2), 3, 1)
    wait(attention, "own.looking === '2:3:emma'")
    assert attention.evaluate("['head', 'position', 'key'].map((key) => state.get(key))") == [2, 3, 1]
    query, key, product = ([number(one) for one in row[1:]] for row in table(attention, "fit"))
    assert product == pytest.approx([a * b for a, b in zip(query, key, strict=True)], abs=2e-6)
    total, score = (number(one.inner_text()) for one in attention.locator("#attention-fit-sum button").all())
    assert total == pytest.approx(sum(product), abs=1e-4)
    assert score == pytest.approx(total / 2, abs=1e-4)
    assert score == pytest.approx(trace(attention)["scores"][(3 * 4 + 2) * 5 + 1], abs=1e-4)


def test_the_softmax_of_the_row_is_written_out_with_its_numbers(attention: Page):
    attention.evaluate("state.set('position', 4)")
    wait(attention, "own.looking === '0:4:emma'")
    rows = table(attention, "softmax")
    scores = [number(row[1]) for row in rows[:-1]]
    assert [row[0] for row in rows[:-1]] == ["BOS 0", "e 1", "m 2", "m 3", "a 4"]
    assert [number(row[4]) for row in rows[:-1]] == pytest.approx(softmax(scores), abs=2e-6)
    assert number(rows[-1][3]) == pytest.approx(sum(number(row[3]) for row in rows[:-1]), abs=1e-5)
    assert number(rows[-1][4]) == 1.0


def test_weights_times_values_add_up_to_what_the_head_hands_on(attention: Page):
    attention.evaluate("state.set('head', 1); state.set('position', 3)")
    wait(attention, "own.looking === '1:3:emma'")
    rows = table(attention, "mix")
    keys, sums = rows[:-1], [number(one) for one in rows[-1][-4:]]
    for channel in range(4):
        mixed = sum(number(row[1]) * number(row[2 + channel]) for row in keys)
        assert mixed == pytest.approx(sums[channel], abs=1e-5)
    assert sums == pytest.approx(trace(attention)["mixed"][3 * 16 + 4 : 3 * 16 + 8], abs=1e-6)


def test_every_number_of_the_written_out_sums_says_where_it_comes_from(attention: Page):
    attention.evaluate("state.set('head', 1); state.set('position', 2)")
    wait(attention, "own.looking === '1:2:emma'")
    click_cell(attention, "#attention-fit", 0, 1)
    card = attention.locator("#number-card")
    assert card.locator("h3").inner_text() == "layer0.attention.query[2][5]"
    assert "queries = linear(" in card.inner_text()
    assert "gradient" in card.inner_text()
    attention.keyboard.press("Escape")
    assert not card.is_visible()
    cells, unexplained = attention.evaluate(
        """() => { const { fit, softmax, mix } = sections.get("attention").numbers;
            const origins = [fit, softmax, mix].flatMap((picture) => [...picture.data].flatMap((value, index) => {
                const { columns } = picture.options, [row, column] = [Math.floor(index / columns), index % columns];
                return picture.isHidden(row, column) ? [] : [[value, picture.origin(row, column)]]; }));
            const right = ([value, origin]) => origin.value === value && python.line(origin.code).number > 0;
            return [origins.length, origins.filter((one) => !right(one)).length]; }"""
    )
    assert (cells, unexplained) == (3 * 4 + 3 * 4 + 2 + 3 * 9 + 4, 0)


def test_the_token_that_looks_is_chosen_by_its_button_by_the_arrows_and_in_the_picture(attention: Page):
    attention.get_by_role("button", name="m, position 3").click()
    wait(attention, "own.arcs.query === 3")
    attention.keyboard.press("ArrowRight")
    wait(attention, "own.arcs.query === 4")
    click_cell(attention, "#attention-arcs", 0, 2)
    wait(attention, "own.arcs.query === 2")
    click_cell(attention, "#attention-arcs", 1, 1)
    wait(attention, "own.arcs.key === 1")
    drawn = attention.evaluate("[...document.querySelector('#attention-arcs').picture.weights]")
    assert drawn == pytest.approx(trace(attention)["weights"][2 * 20 : 2 * 20 + 3], abs=1e-12)


def test_the_arrows_are_as_thick_as_the_weights(attention: Page):
    attention.evaluate("state.set('position', 4)")
    wait(attention, "own.arcs.query === 4")
    thick, weights = attention.evaluate(
        """() => { const picture = document.querySelector("#attention-arcs").picture;
            const curves = picture.svg().matchAll(/<path d="M[^"]*C[^"]*"[^>]*stroke-width="([\\d.]+)"/g);
            return [[...curves].map((found) => Number(found[1])), [...picture.weights]]; }"""
    )
    assert len(thick) == 5
    assert sorted(thick) == thick  # the strongest is drawn last, on top
    assert max(thick) - min(thick) == pytest.approx(9 * (max(weights) - min(weights)))


def test_the_entropy_of_a_row_lies_between_nothing_and_that_of_equal_weights(attention: Page):
    bits = attention.evaluate("document.querySelector('#attention-entropy').picture.data")
    weights = trace(attention)["weights"]
    for position, shown in enumerate(bits):
        row = weights[position * 20 : position * 20 + position + 1]
        assert shown == pytest.approx(-sum(weight * math.log2(weight) for weight in row), abs=1e-9)
        assert -1e-12 <= shown <= math.log2(position + 1) + 1e-12


def test_the_loss_without_a_head_stands_beside_its_picture(attention: Page):
    for head in range(4):
        sentence = attention.locator(".attention-head").nth(head).locator("p")
        silenced = trace(attention, ablate=[[0, head]])["loss"]
        assert number(sentence.locator("button").first.inner_text()) == pytest.approx(silenced, abs=1e-4)
        change = number(sentence.inner_text().split("(")[1].split(")")[0])
        assert change == pytest.approx(silenced - trace(attention)["loss"], abs=6e-4)


def test_the_loss_without_a_head_is_also_measured_on_fifty_names(attention: Page):
    wait(attention, "own.many")
    names = attention.evaluate("theRun.names")
    spread = names[:: len(names) // 50][:50]
    whole, without = attention.evaluate(
        "names => engine.call('compare', names, state.get('step'), [{}, { ablate: [[0, 2]] }])", spread
    )
    assert attention.evaluate("sections.get('attention').many.means[0]") == pytest.approx(whole, abs=1e-9)
    shown = attention.locator(".attention-head").nth(2).locator("p")
    assert "on 50 names" in shown.inner_text()
    assert number(shown.locator("button").nth(1).inner_text()) == pytest.approx(without, abs=1e-4)
    change = number(shown.inner_text().split("(")[2].split(")")[0])
    assert change == pytest.approx(without - whole, abs=6e-4)


def test_the_factor_goes_from_equal_weights_to_one_that_has_all(attention: Page):
    attention.evaluate("state.set('position', 4); state.set('head', 0)")
    slider = attention.locator("#attention-factor")
    slider.fill("0")
    wait(attention, "own.factor.weights.data?.length === 5 && Math.abs(own.factor.weights.data[0] - 0.2) < 1e-12")
    assert attention.evaluate("sections.get('attention').factor.weights.data") == pytest.approx([0.2] * 5)
    slider.fill("8")
    wait(attention, "own.factor.loss.marked === 8")
    scores = trace(attention)["scores"][4 * 20 : 4 * 20 + 5]
    assert attention.evaluate("sections.get('attention').factor.weights.data") == pytest.approx(
        softmax([8 * score for score in scores]), abs=1e-9
    )


def test_the_factor_changes_the_head_s_output_the_probabilities_and_the_loss_as_the_engine_says(attention: Page):
    attention.evaluate("state.set('position', 3); state.set('head', 2)")
    attention.locator("#attention-factor").fill("3.5")
    wait(attention, "own.factor.loss.marked === 3.5 && own.factor.at.position === 3 && own.factor.at.head === 2")
    sharpened, plain = trace(attention, sharpen=[[0, 2, 3.5]]), trace(attention)
    shown = attention.evaluate("sections.get('attention').factor.output.data")
    assert shown == pytest.approx(
        plain["mixed"][3 * 16 + 8 : 3 * 16 + 12] + sharpened["mixed"][3 * 16 + 8 : 3 * 16 + 12]
    )
    assert attention.evaluate("[...sections.get('attention').factor.probabilities.data]") == pytest.approx(
        sharpened["probabilities"][3 * 27 : 4 * 27]
    )
    loss, right = (number(one.inner_text()) for one in attention.locator("#attention-sharp-sentence button").all())
    assert loss == pytest.approx(sharpened["loss"], abs=1e-4)
    assert right == pytest.approx(sharpened["probabilities"][3 * 27 + sharpened["targets"][3]], abs=1e-4)
    attention.get_by_role("button", name="All heads").click()
    wait(attention, "own.factor.sharp.trace !== reading.trace && state.get('factorAll')")
    every = trace(attention, sharpen=[[0, head, 3.5] for head in range(4)])["loss"]
    attention.wait_for_function(
        """loss => { const shown = document.querySelector("#attention-sharp-sentence button").textContent;
            return Math.abs(Number(shown) - loss) < 1e-4; }""",
        arg=every,
    )
    attention.get_by_role("button", name="Back to 1").click()
    wait(attention, "own.factor.loss.marked === 1")
    assert attention.evaluate("sections.get('attention').factor.sharp.trace.loss") == plain["loss"]


def test_the_prediction_is_answered_from_the_run(attention: Page):
    losses = [trace(attention, ablate=[[0, head]])["loss"] for head in range(4)]
    right = losses.index(max(losses))
    box = attention.locator("#attention-prediction")
    box.get_by_role("button", name=f"head {right}").click()
    attention.wait_for_function(
        "() => document.querySelector('#attention-prediction output').textContent.startsWith('As you said.')"
    )
    assert f"Without head {right} it is {max(losses):.4f}" in box.inner_text()
    box.get_by_role("button", name=f"head {(right + 1) % 4}").click()
    attention.wait_for_function(
        "() => document.querySelector('#attention-prediction output').textContent.startsWith('You said')"
    )


def test_head_token_key_and_factor_stand_in_the_address(attention: Page):
    attention.evaluate(
        """() => { const chosen = { head: 3, position: 2, key: 1, factor: 2.5, factorAll: true };
            for (const [key, value] of Object.entries(chosen)) state.set(key, value); }"""
    )
    wait(attention, "own.factor.loss.marked === 2.5")
    fragment = attention.evaluate("state.fragment()")
    attention.evaluate("state.readFragment('#attention?name=emma&step=12')")
    wait(attention, "own.factor.loss.marked === 1 && own.looking.startsWith('0:1')")
    attention.evaluate("fragment => state.readFragment(fragment)", fragment)
    wait(attention, "own.factor.loss.marked === 2.5 && own.looking.startsWith('3:2')")
    attention.evaluate("state.readFragment('#attention?name=emma&step=12&head=9&factor=wild&key=-1&factorAll=maybe')")
    assert attention.evaluate("['head', 'factor', 'key', 'factorAll'].map((key) => state.get(key))") == [0, 1, 0, False]


def test_a_name_of_one_letter_and_one_that_fills_the_context_are_drawn(attention: Page):
    for name in ("a", "maximilianarose"):
        attention.evaluate("name => state.set('name', name)", name)
        wait(
            attention,
            f"reading.name === '{name}'"
            f" && own.arcs.labels.length === {len(name) + 1} && own.factor.sharp.length === {len(name) + 1}",
        )
        overflow = attention.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0


def test_each_step_of_the_sum_lights_its_line_of_python(attention: Page):
    attention.evaluate("document.querySelector('#attention details').open = true")
    for name, line in (("fit", "weights = softmax(["), ("softmax", "exponentials = ["), ("mix", "sum(weight * value")):
        attention.locator(f"#attention-{name} .surface").hover()
        lit = attention.locator("#attention .python .row.now")
        expect(lit).to_have_count(1)
        expect(lit).to_contain_text(line)
