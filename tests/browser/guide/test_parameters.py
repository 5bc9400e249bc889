"""Section 3 of the guide: every number of the model, each matrix to scale, and any weight's gradient tested."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from looking import GUIDE, see
from playwright.sync_api import Browser, Page

from glassbox import microgpt

Matrices = dict[str, list[list[microgpt.Value]]]
NAME = "emma"


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The guide, trained for three steps, once for all tests here; and the faults that it has reported."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True, reduced_motion="reduce")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(GUIDE.as_uri())
    page.wait_for_function("() => state.get('run') > 0")
    page.evaluate("trainUntil(3, null)")
    yield page, faults
    context.close()


@pytest.fixture
def parameters(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The section as it is when the page opens, at step 0."""
    page, faults = opened
    look(page)
    yield page
    assert faults == []


@pytest.fixture(scope="module")
def first(opened: tuple[Page, list[str]]) -> Matrices:
    """The weights that microgpt.py begins with, from the same names and seed."""
    page, _ = opened
    names = page.evaluate("theRun.ownNames")
    random.seed(42)
    random.shuffle(names)
    return microgpt.build_parameters(len(microgpt.build_vocabulary(names)[0]) + 1, 1, 16, 16)


def look(page: Page, **keys: object) -> None:
    """Look at a moment, a weight …, and wait until all of it is drawn."""
    link = "&".join(f"{key}={value}" for key, value in {"name": NAME, **keys}.items())
    page.evaluate("link => { document.activeElement.blur(); state.readFragment(link); }", f"#parameters?{link}")
    see(page, "parameters")
    wait_until_drawn(page)


def wait_until_drawn(page: Page) -> None:
    page.wait_for_function(
        """() => { const own = sections.get('parameters'), tested = own.tested; return !own.stale && !own.drawing
            && own.moment.step === state.get('step') && tested?.name === theRun.weightNames[own.index]
            && tested.step === state.get('step') && tested.epsilon === Number(`1e-${state.get('nudge')}`); }"""
    )


def loss_of(page: Page, matrices: Matrices) -> microgpt.Value:
    characters, bos = microgpt.build_vocabulary(page.evaluate("theRun.ownNames"))
    loss = microgpt.name_loss(microgpt.tokenize(NAME, characters, bos), matrices, 1, 4, 16)
    assert isinstance(loss, microgpt.Value)
    return loss


def test_every_matrix_is_a_rectangle_to_scale_with_one_cell_a_number(parameters: Page, first: Matrices):
    layout = parameters.evaluate("sections.get('parameters').map.layout()")
    named = parameters.evaluate("theRun.matrices.map(({ name }) => name)")
    assert named == list(first)
    for name, box in zip(named, layout["boxes"], strict=True):
        assert box["height"] == len(first[name]) * layout["cell"]
        assert box["width"] == len(first[name][0]) * layout["cell"]
    for i, one in enumerate(layout["boxes"]):
        assert one["x"] >= 0
        assert one["x"] + one["width"] <= layout["width"]
        for other in layout["boxes"][:i]:
            apart = one["x"] >= other["x"] + other["width"] or other["x"] >= one["x"] + one["width"]
            assert apart or one["y"] >= other["y"] + other["height"] or other["y"] >= one["y"] + one["height"]


def test_the_cells_have_the_colours_of_the_numbers_that_python_begins_with(parameters: Page, first: Matrices):
    for name, row, column in [("wte", 0, 0), ("wpe", 15, 3), ("lm_head", 26, 15), ("layer0.mlp_fc2", 15, 63)]:
        found, wanted = parameters.evaluate(
            """([name, row, column, value]) => { const { map } = sections.get('parameters');
                const { cell, boxes } = map.layout(), index = theRun.matrices.findIndex((one) => one.name === name);
                const place = [boxes[index].x + (column + 0.4) * cell, boxes[index].y + (row + 0.4) * cell];
                const pixel = map.canvas.getContext('2d').getImageData(...place.map(Math.floor), 1, 1).data;
                const hex = '#' + [...pixel].slice(0, 3).map((one) => one.toString(16).padStart(2, '0')).join('');
                return [hex, theme.palette.signed(value, map.limit)]; }""",
            [name, row, column, first[name][row][column].data],
        )
        assert found == wanted


def test_pointing_at_a_matrix_tells_its_name_shape_task_count_mean_and_deviation(parameters: Page, first: Matrices):
    surface = parameters.locator("#parameters-map .surface")
    surface.scroll_into_view_if_needed()
    facts = parameters.locator("#parameters-facts")
    boxes = parameters.evaluate("sections.get('parameters').map.layout().boxes")
    for index, (name, rows) in enumerate(first.items()):
        box = boxes[index]
        surface.hover(position={"x": box["x"] + 5, "y": box["y"] + 5})
        numbers = [value.data for row in rows for value in row]
        assert facts.locator("h3").inner_text() == name
        told = facts.inner_text().replace("−", "-")
        assert f"{len(rows)} × {len(rows[0])}" in told
        assert f"{len(numbers):,}" in told
        assert f"{statistics.fmean(numbers):.4f}" in told
        assert f"{statistics.pstdev(numbers):.4f}" in told
        assert f"{max(numbers):.4f}" in told
        assert len(facts.locator("p").inner_text()) > 20
    parameters.mouse.move(0, 0)
    assert facts.locator("h3").inner_text() == "layer0.attn_wq"  # the one that is open


def test_a_click_or_enter_opens_a_matrix_with_its_labels_and_all_its_numbers(parameters: Page, first: Matrices):
    box = parameters.evaluate("sections.get('parameters').map.layout().boxes[2]")
    parameters.locator("#parameters-map .surface").click(position={"x": box["x"] + 9, "y": box["y"] + 9})
    wait_until_drawn(parameters)
    grid = parameters.evaluate(
        "(({ name, options, data }) => [name, options.rowLabels, [...data]])(sections.get('parameters').grid)"
    )
    assert grid[0] == "lm_head"
    assert grid[1] == parameters.evaluate("theRun.labels")
    assert grid[2] == [value.data for row in first["lm_head"] for value in row]
    parameters.locator("#parameters-map .surface").focus()
    parameters.keyboard.press("Home")
    parameters.keyboard.press("ArrowRight")
    parameters.keyboard.press("Enter")
    parameters.wait_for_function("() => sections.get('parameters').grid.name === 'wpe'")
    assert parameters.evaluate("sections.get('parameters').grid.options.rowLabels.at(-1)") == "15"


@pytest.mark.parametrize("name", ["wte", "wpe", "lm_head", "layer0.attn_wo", "layer0.mlp_fc1", "layer0.mlp_fc2"])
def test_every_number_of_an_open_matrix_is_written_in_its_cell(parameters: Page, first: Matrices, name: str):
    look(parameters, weight=f"{name}[1][2]")
    drawn = ElementTree.fromstring(parameters.evaluate("sections.get('parameters').grid.svg()"))
    texts = [one.text or "" for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    shown = [text for text in texts if "." in text or text == "0"]
    for row in first[name]:
        for value in row:
            assert f"{value.data:.2f}".replace("-", "−") in shown or abs(value.data) < 0.005
    assert len(shown) >= len(first[name]) * len(first[name][0])


def test_the_count_runs_up_part_by_part_as_the_reader_walks(parameters: Page):
    parameters.evaluate("state.section = 'parameters'")
    look(parameters, weight="wte[0][0]")
    counted = "sections.get('parameters').map.counting"
    assert parameters.evaluate(counted) == "432 of 4,192"
    parameters.keyboard.press("ArrowRight")
    parameters.wait_for_function(f"() => {counted}.includes('688')")
    assert parameters.evaluate(counted) == "432 + 256 = 688 of 4,192"
    for _ in range(9):  # past the end, where it stays
        parameters.keyboard.press("ArrowRight")
    parameters.wait_for_function("() => state.get('weight').startsWith('layer0.mlp_fc2')")
    wait_until_drawn(parameters)
    every = "432 + 256 + 432 + 256 + 256 + 256 + 256 + 1,024 + 1,024 = 4,192 of 4,192"
    assert parameters.evaluate(counted) == every
    painted = parameters.evaluate("sections.get('parameters').map.svg()")
    for text in (every, "embedding 688", "attention 1,024", "MLP 2,048", "output 432"):
        assert f">{text}<" in painted
    widths = parameters.evaluate("sections.get('parameters').map.layout().bars.map(({ width }) => width)")
    assert widths[0] / sum(widths) == pytest.approx(432 / 4192)


@pytest.mark.parametrize("exponent", [2, 4, 6])
@pytest.mark.parametrize("weight", ["wte[4][3]", "layer0.attn_wk[5][9]", "lm_head[26][0]"])
def test_nudging_a_weight_gives_the_losses_that_python_gives_and_the_slope_of_backward(
    parameters: Page, first: Matrices, weight: str, exponent: int
):
    look(parameters, weight=weight, nudge=exponent)
    name, row, column = weight.replace("]", "").split("[")
    value = first[name][int(row)][int(column)]
    epsilon, before = 10.0**-exponent, value.data
    losses = []
    for number in (before, before + epsilon, before - epsilon):
        value.data = number
        losses.append(loss_of(parameters, first).data)
    value.data = before
    loss_of(parameters, first).backward()
    rows = parameters.locator("#parameters-check td").all_inner_texts()
    shown = [float(text.replace("−", "-")) for text in rows]
    assert shown[0] == pytest.approx(before, abs=1e-6)
    assert shown[1:4] == pytest.approx(losses, abs=1e-12)
    assert shown[4] == pytest.approx((losses[1] - losses[2]) / (2 * epsilon), abs=1e-8)
    assert shown[5] == pytest.approx(value.grad, abs=1e-9)
    assert shown[4] == pytest.approx(value.grad, rel=3e-2, abs=1e-8)
    assert "agree to" in parameters.locator("#parameters-verdict").inner_text()


def test_the_slider_sets_the_nudge_and_a_tiny_one_shows_the_rounding(parameters: Page):
    slider = parameters.locator("#parameters-nudge")
    slider.focus()
    slider.press("End")
    assert parameters.locator("#parameters-epsilon").inner_text() == "1e−8"
    parameters.wait_for_function("() => sections.get('parameters').tested.epsilon === 1e-8")
    tested = parameters.evaluate("sections.get('parameters').tested")
    assert tested["slope"] == (tested["lossPlus"] - tested["lossMinus"]) / 2e-8
    assert "nudge=8" in parameters.evaluate("state.fragment()")


def test_a_weight_that_the_name_does_not_use_has_a_gradient_of_zero_and_it_is_said(parameters: Page):
    look(parameters, weight="wte[25][0]")  # z, which emma doesn't have
    assert "doesn't depend on this weight" in parameters.locator("#parameters-verdict").inner_text()
    assert parameters.evaluate(
        "[sections.get('parameters').tested.gradient, sections.get('parameters').tested.slope]"
    ) == [0, 0]


def test_a_weight_is_chosen_by_a_click_in_its_matrix_or_by_its_name(parameters: Page):
    look(parameters, weight="layer0.mlp_fc1[0][0]")
    surface = parameters.locator("#parameters-grid .surface")
    surface.scroll_into_view_if_needed()
    box = parameters.evaluate("sections.get('parameters').grid.box(3, 7)")
    surface.click(position={"x": box["x"] + 5, "y": box["y"] + 5})
    parameters.wait_for_function("() => state.get('weight') === 'layer0.mlp_fc1[3][7]'")
    field = parameters.locator("#parameters-weight")
    wait_until_drawn(parameters)
    assert field.input_value() == "layer0.mlp_fc1[3][7]"
    field.fill(" layer0.mlp_fc1[60] [2] ")
    field.press("Enter")
    parameters.wait_for_function("() => state.get('weight') === 'layer0.mlp_fc1[60][2]'")
    wait_until_drawn(parameters)
    assert surface.evaluate("surface => surface.scrollTop") > 0  # it is scrolled into the box
    assert parameters.evaluate("sections.get('parameters').grid.chosen") == [60, 2]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("wte[40][0]", "rows 0 to 26"),
        ("wte[0]", "Write wte[row][column]"),
        ("hello", "There is no weight"),
        ("", "There is no weight"),
        ("<img src=x>[0][0]", "There is no weight"),
    ],
)
def test_a_name_that_is_no_weight_is_refused_with_what_a_name_looks_like(parameters: Page, typed: str, told: str):
    field = parameters.locator("#parameters-weight")
    field.fill(typed)
    field.press("Enter")
    assert told in parameters.locator("#parameters-error").inner_text()
    assert parameters.evaluate("state.get('weight')") == "layer0.attn_wq[0][0]"


def test_a_link_to_a_weight_that_this_run_has_not_says_so(parameters: Page):
    look(parameters, weight="wte[200][3]")
    assert "rows 0 to 26" in parameters.locator("#parameters-error").inner_text()


def test_the_gradient_of_the_step_and_the_change_since_the_beginning_are_shown(parameters: Page, first: Matrices):
    parameters.evaluate("step => runBar.look(step)", 2)
    parameters.locator("[data-numbers=gradient]").click()
    parameters.wait_for_function("() => sections.get('parameters').map.numbers && state.get('numbers') === 'gradient'")
    wait_until_drawn(parameters)
    moment = parameters.evaluate(
        "engine.call('moment', 2).then(({ gradients, weights }) => [[...gradients], [...weights]])"
    )
    assert parameters.evaluate("[...sections.get('parameters').map.numbers]") == moment[0]
    parameters.locator("[data-numbers=change]").click()
    parameters.wait_for_function("() => document.querySelector('[data-numbers=change]').ariaPressed === 'true'")
    wait_until_drawn(parameters)
    begun = [value.data for rows in first.values() for row in rows for value in row]
    shown = parameters.evaluate("[...sections.get('parameters').map.numbers]")
    assert shown == [now - then for now, then in zip(moment[1], begun, strict=True)]
    assert any(shown)


def test_before_training_it_says_that_there_is_no_gradient_and_offers_the_step_that_makes_one(parameters: Page):
    look(parameters, numbers="gradient")
    empty = parameters.locator("#parameters-empty")
    assert "no name has been learned from" in empty.inner_text()
    assert parameters.evaluate("sections.get('parameters').map.numbers") is None
    empty.locator("button").click()
    parameters.wait_for_function("() => state.get('step') === 1")
    wait_until_drawn(parameters)
    assert empty.is_hidden()
    assert parameters.evaluate("sections.get('parameters').map.numbers.length") == 4192


def test_the_map_is_saved_as_a_picture_with_every_number_and_read_as_a_table(parameters: Page, first: Matrices):
    with parameters.expect_download() as download:
        parameters.locator("#parameters-map [data-tool=svg]").click(force=True)
    saved = ElementTree.fromstring(download.value.path().read_text(encoding="utf-8"))
    assert len(list(saved.iter("{http://www.w3.org/2000/svg}rect"))) >= 4192
    parameters.locator("#parameters-map [data-tool=table]").click(force=True)
    rows = parameters.locator("#parameters-map .table tbody tr")
    assert rows.count() == len(first)
    assert "layer0.mlp_fc1" in rows.nth(7).inner_text()
    parameters.locator("#parameters-map [data-tool=table]").click(force=True)


def test_the_prediction_is_answered_with_the_counts_of_the_run(parameters: Page):
    parameters.locator("#parameters-prediction button", has_text="MLP").click()
    answer = parameters.locator("#parameters-prediction output")
    parameters.wait_for_function(
        "() => document.querySelector('#parameters-prediction output').textContent.includes('together')"
    )
    assert answer.inner_text().startswith("As you said.")
    for told in ("embedding 688", "attention 1,024", "MLP 2,048", "output 432", "4,192 together"):
        assert told in answer.inner_text()
