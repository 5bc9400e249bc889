"""Section 6 of the guide: a step of training opened, Adam's arithmetic, the loss, and the way back to every step."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import pytest
from looking import GUIDE, see
from playwright.sync_api import Browser, Page, expect

from glassbox import microgpt

STEPS = 3
WEIGHT = "layer0.attn_wq[3][7]"


@dataclass(frozen=True)
class PythonStep:
    """What microgpt.py knows at a step: the lists are by weight, in the order of its weights."""

    name: str
    tokens: list[int]
    probabilities: list[float]  # of each next token, before the update
    loss: float
    before: list[float]
    gradients: list[float]
    m: list[float]
    v: list[float]
    after: list[float]


@pytest.fixture(scope="module")
def python_steps() -> list[PythonStep]:
    """The first steps of `python microgpt.py`, made with its own functions."""
    names = microgpt.read_names(microgpt.Path(microgpt.__file__).parent / "data" / "sources" / "names.txt")
    random.seed(42)
    random.shuffle(names)
    characters, bos = microgpt.build_vocabulary(names)
    matrices = microgpt.build_parameters(len(characters) + 1, 1, 16, 16)
    weights = [weight for matrix in matrices.values() for row in matrix for weight in row]
    optimizer, steps = microgpt.Adam(weights), []
    for number in range(STEPS):
        tokens = microgpt.tokenize(names[number], characters, bos)
        keys, values, probabilities = [[]], [[]], []
        for position, target in enumerate(tokens[1:]):
            logits = microgpt.gpt(tokens[position], position, matrices, 1, 4, keys, values)
            probabilities.append(microgpt.softmax(logits)[target].data)
        loss = cast("microgpt.Value", microgpt.name_loss(tokens, matrices, 1, 4, 16))
        for weight in weights:
            weight.grad = 0.0
        loss.backward()
        before, gradients = [weight.data for weight in weights], [weight.grad for weight in weights]
        optimizer.step(number, 1000)
        after = [weight.data for weight in weights]
        steps.append(
            PythonStep(
                names[number],
                tokens,
                probabilities,
                loss.data,
                before,
                gradients,
                optimizer.m[:],
                optimizer.v[:],
                after,
            )
        )
    return steps


@pytest.fixture(scope="module")
def run_of_seventy(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A page that has trained 70 steps, and the faults it reports: training is never undone, so tests can share it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True, reduced_motion="reduce")
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(GUIDE.as_uri() + "#training")
    page.wait_for_function("() => state.get('run') > 0")
    train(page, 70)
    yield page, faults
    context.close()


@pytest.fixture
def trained(run_of_seventy: tuple[Page, list[str]]) -> Iterator[Page]:
    """That page, looking at the last step that Python has made too, and at one weight."""
    page, faults = run_of_seventy
    page.evaluate("weight => { state.set('weight', weight); state.set('adam', 'gradient'); }", WEIGHT)
    look(page, STEPS)
    expect(page.locator("#training-weight")).to_have_text(WEIGHT)
    yield page
    assert faults == []


def train(page: Page, until: int) -> None:
    page.evaluate("until => trainUntil(until, null)", until)
    see(page, "training")


def look(page: Page, step: int) -> None:
    page.evaluate("step => runBar.look(step)", step)
    see(page, "training")


def index_of(page: Page, weight: str) -> int:
    return page.evaluate("weight => theRun.weightNames.indexOf(weight)", weight)


def choose_weight(page: Page, weight: str) -> None:
    page.evaluate("weight => state.set('weight', weight)", weight)
    expect(page.locator("#training-weight")).to_have_text(weight)
    see(page, "training")


def loss_of(page: Page, name: str, step: int) -> float:
    return page.evaluate("async ([name, step]) => (await engine.call('trace', name, {step})).loss", [name, step])


def index_of_largest_gradient(page: Page, step: int, first: int = 0, end: int | None = None) -> int:
    gradients = page.evaluate("async (step) => (await engine.call('moment', step)).gradients", step)
    return max(range(first, end or len(gradients)), key=lambda i: abs(gradients[i]))


def weight_name(page: Page, index: int) -> str:
    return page.evaluate("index => theRun.weightNames[index]", index)


def click_cell(page: Page, figure: str, row: int, column: int) -> None:
    """Click the middle of a cell of a picture."""
    x, y = page.evaluate(
        """([id, row, column]) => {
            const box = document.getElementById(id).picture.box(row, column);
            return [box.x + box.width / 2, box.y + box.height / 2];
        }""",
        [figure, row, column],
    )
    page.locator(f"#{figure} canvas").click(position={"x": x, "y": y})


def full_value(page: Page, number: str) -> float:
    """The value on the card that opens when a number is clicked."""
    page.locator(number).click()
    text = page.locator("#number-card dd").first.inner_text()
    page.keyboard.press("Escape")
    return float(text.replace("−", "-"))


def test_before_the_first_step_it_says_what_will_be_here_and_offers_the_button_that_makes_it(guide: Page) -> None:
    see(guide, "training")
    expect(guide.locator("#training-empty-text")).to_contain_text("None of them exists before the first step")
    expect(guide.locator(".training-seen").first).to_be_hidden()
    guide.locator("#training-prediction").get_by_role("button", name="Yes, lower").click()
    expect(guide.locator("#training-prediction output")).to_contain_text("There is no update yet")
    guide.locator("#training-empty-button").click()
    expect(guide.locator("#training-seen-title")).to_have_text("Step 1 of 1,000")
    expect(guide.locator("#training-empty")).to_be_hidden()


def test_the_moment_before_the_first_step_leads_to_the_first_step(trained: Page) -> None:
    look(trained, 0)
    trained.get_by_role("button", name="Look at step 1").click()
    expect(trained.locator("#training-seen-title")).to_have_text("Step 1 of 1,000")


def test_enter_trains_one_step_and_its_loss_is_that_of_the_python_file(
    guide: Page, python_steps: list[PythonStep]
) -> None:
    see(guide, "training")
    for step in python_steps:
        reached = guide.evaluate("state.get('reached')")
        guide.keyboard.press("Enter")
        guide.wait_for_function(
            "reached => state.get('reached') === reached + 1 && !state.get('training')", arg=reached
        )
        assert guide.evaluate("theRun.losses.at(-1)") == pytest.approx(step.loss, abs=1e-12)
    expect(guide.locator("#run-loss")).to_have_text(f"{python_steps[-1].loss:.4f}")


def test_the_pairs_are_the_names_tokens_with_the_probability_and_loss_that_python_gives_them(
    trained: Page, python_steps: list[PythonStep]
) -> None:
    step = python_steps[-1]
    rows = trained.locator("#training-pairs tbody tr:visible")
    assert rows.count() == len(step.tokens) - 1
    labels = trained.evaluate("theRun.labels")
    for position, probability in enumerate(step.probabilities):
        cells = rows.nth(position).locator("td").all_inner_texts()
        assert cells[:2] == [labels[step.tokens[position]], labels[step.tokens[position + 1]]]
        assert float(cells[2]) == pytest.approx(probability, abs=5e-5)
        assert float(cells[4]) == pytest.approx(-math.log(probability), abs=5e-4)
    after = trained.evaluate("([name, step]) => engine.call('trace', name, {step})", [step.name, STEPS])
    assert float(rows.first.locator("td").nth(5).inner_text()) == pytest.approx(after["losses"][0], abs=5e-4)


def test_the_pairs_take_the_colours_of_the_theme_that_is_on(trained: Page) -> None:
    target = trained.locator("#training-pairs .tag").nth(1)
    colours = []
    for theme in ["light", "dark"]:
        trained.evaluate("name => theme.set(name)", theme)
        colours.append(target.evaluate("target => getComputedStyle(target).backgroundColor"))
    assert colours[0] != colours[1]


def test_the_steps_phases_tell_its_loss_and_the_loss_of_the_same_name_after_the_update(
    trained: Page, python_steps: list[PythonStep]
) -> None:
    step = python_steps[-1]
    phases = trained.locator(".training-phases li")
    assert "".join(phases.first.locator(".tag").all_inner_texts()) == f"BOS{step.name}BOS"
    assert full_value(trained, ".training-phases li:nth-child(2) .number") == pytest.approx(step.loss, abs=1e-12)
    norm = math.hypot(*step.gradients)
    assert full_value(trained, ".training-phases li:nth-child(3) .number") == pytest.approx(norm, rel=1e-9)
    moved = math.dist(step.before, step.after)
    assert full_value(trained, ".training-phases li:nth-child(4) .number") == pytest.approx(moved, rel=1e-9)
    after = loss_of(trained, step.name, STEPS)
    assert full_value(trained, ".training-phases li:nth-child(5) .number") == after


def test_every_line_of_adam_ends_in_the_number_that_pythons_adam_computed(
    trained: Page, python_steps: list[PythonStep]
) -> None:
    i, step = index_of(trained, WEIGHT), python_steps[-1]
    m_hat, v_hat = step.m[i] / (1 - 0.85**STEPS), step.v[i] / (1 - 0.99**STEPS)
    rate = 0.01 * (1 - (STEPS - 1) / 1000)
    expected = {
        "g": step.gradients[i],
        "m": step.m[i],
        "v": step.v[i],
        "mHat": m_hat,
        "vHat": v_hat,
        "rate": rate,
        "update": rate * m_hat / (v_hat**0.5 + 1e-8),
        "weight": step.after[i],
    }
    shown = {key: full_value(trained, f".training-adam li[data-key={key}] .result .number") for key in expected}
    assert shown == pytest.approx(expected, rel=1e-12)


def test_the_formula_of_m_holds_for_the_numbers_that_stand_in_it(trained: Page) -> None:
    line = ".training-adam li[data-key=m] .formula .number"
    before, gradient = full_value(trained, f"{line} >> nth=0"), full_value(trained, f"{line} >> nth=1")
    result = full_value(trained, ".training-adam li[data-key=m] .result .number")
    assert result == pytest.approx(0.85 * before + (1 - 0.85) * gradient, rel=1e-12)


def test_pointing_at_a_formula_lights_its_line_and_clicking_the_line_shows_it_in_the_file(trained: Page) -> None:
    trained.locator(".training-adam li[data-key=vHat] .formula").hover()
    lit = trained.locator("#training .python .row.now")
    expect(lit).to_have_count(1)
    assert "v_hat = self.v[i]" in (lit.text_content() or "")
    assert not lit.is_visible()
    trained.locator(".training-adam li[data-key=mHat] .python-line").click()
    expect(lit).to_contain_text("m_hat = self.m[i]")
    expect(lit).to_be_visible()


def test_choosing_a_matrix_chooses_its_weight_with_the_largest_gradient(trained: Page) -> None:
    trained.get_by_role("group", name="Matrix").get_by_role("button", name="layer0.mlp_fc1").click()
    expect(trained.locator("#training-weight")).to_contain_text("layer0.mlp_fc1[")
    first = index_of(trained, "layer0.mlp_fc1[0][0]")
    largest = index_of_largest_gradient(trained, STEPS, first, first + 64 * 16)
    expect(trained.locator("#training-weight")).to_have_text(weight_name(trained, largest))


@pytest.mark.parametrize("quantity", ["value", "gradient", "m", "√v", "update"])
def test_the_matrix_shows_what_was_asked_for(trained: Page, quantity: str, python_steps: list[PythonStep]) -> None:
    trained.get_by_role("group", name="What the cells show").get_by_role("button", name=quantity, exact=True).click()
    expect(trained.locator("#training-matrix .caption .name")).to_have_text(
        f"{quantity} of layer0.attn_wq, step {STEPS}"
    )
    shown = trained.evaluate("[...document.querySelector('#training-matrix').picture.data]")
    step, first = python_steps[-1], index_of(trained, "layer0.attn_wq[0][0]")
    whole = {
        "value": step.after,
        "gradient": step.gradients,
        "m": step.m,
        "√v": [v**0.5 for v in step.v],
        "update": [before - after for before, after in zip(step.before, step.after, strict=True)],
    }[quantity]
    assert shown == pytest.approx(whole[first : first + 256], abs=1e-15)


def test_any_weight_of_the_matrix_tells_value_gradient_and_moments_and_can_be_chosen(trained: Page) -> None:
    surface = trained.locator("#training-matrix .surface")
    surface.focus()
    for key in ["ArrowDown", "ArrowDown", "ArrowRight"]:
        trained.keyboard.press(key)
    readout = trained.locator("#training-matrix .readout")
    expect(readout).to_contain_text("layer0.attn_wq[2][1]")
    for label in ["value", "gradient", "m", "v", "update"]:
        expect(readout).to_contain_text(f" {label} ")
    trained.keyboard.press("Enter")
    expect(trained.locator("#training-weight")).to_have_text("layer0.attn_wq[2][1]")
    assert "weight=layer0.attn_wq" in trained.evaluate("state.fragment()")
    click_cell(trained, "training-matrix", 3, 7)
    expect(trained.locator("#training-weight")).to_have_text(WEIGHT)


def test_the_bars_of_a_row_are_its_moments(trained: Page, python_steps: list[PythonStep]) -> None:
    shown = trained.evaluate("document.querySelector('#training-envelopes').picture.weights")
    step, first = python_steps[-1], index_of(trained, "layer0.attn_wq[3][0]")
    expected_m = [m / (1 - 0.85**STEPS) for m in step.m[first : first + 16]]
    expected_v = [(v / (1 - 0.99**STEPS)) ** 0.5 for v in step.v[first : first + 16]]
    assert [weight["mHat"] for weight in shown] == pytest.approx(expected_m, rel=1e-12)
    assert [weight["rootV"] for weight in shown] == pytest.approx(expected_v, rel=1e-12)


def test_the_size_of_each_matrixs_gradient_and_update_is_that_of_python(
    trained: Page, python_steps: list[PythonStep]
) -> None:
    step = python_steps[-1]
    for row, matrix in enumerate(trained.evaluate("theRun.matrices")):
        part = slice(matrix["first"], matrix["first"] + matrix["rows"] * matrix["columns"])
        numbers = f"#training-sizes tbody tr:nth-child({row + 1}) .number"
        gradient, update = full_value(trained, f"{numbers} >> nth=0"), full_value(trained, f"{numbers} >> nth=1")
        assert gradient == pytest.approx(math.hypot(*step.gradients[part]), rel=1e-9)
        assert update == pytest.approx(math.dist(step.before[part], step.after[part]), rel=1e-9)


def test_the_ten_largest_updates_are_those_that_moved_most_and_can_be_chosen(
    trained: Page, python_steps: list[PythonStep]
) -> None:
    step = python_steps[-1]
    moves = [abs(after - before) for before, after in zip(step.before, step.after, strict=True)]
    names = trained.evaluate("theRun.weightNames")
    order = sorted(range(len(moves)), key=lambda i: -moves[i])[:10]
    links = trained.locator("#training-largest tbody th button")
    assert links.all_inner_texts() == [names[i] for i in order]
    links.nth(3).click()
    expect(trained.locator("#training-weight")).to_have_text(names[order[3]])


def test_the_loss_curve_has_every_loss_their_mean_over_fifty_and_the_baseline(trained: Page) -> None:
    losses = trained.evaluate("theRun.losses")
    picture = "part => document.querySelector('#training-loss').picture[part]"
    series, levels = trained.evaluate(picture, "series"), trained.evaluate(picture, "levels")
    assert series[0]["values"] == losses
    means = [sum(losses[max(0, i - 49) : i + 1]) / min(i + 1, 50) for i in range(70)]
    assert series[1]["values"] == pytest.approx(means, rel=1e-12)
    assert levels[0]["value"] == pytest.approx(math.log(27))
    assert levels[0]["label"].endswith("3.2958")


def test_the_loss_curve_goes_along_while_it_trains(guide: Page) -> None:
    see(guide, "training")
    guide.evaluate("void trainUntil(1000, null)")
    lengths = []
    for least in [5, 25, 45]:
        guide.wait_for_function(
            "least => document.querySelector('#training-loss').picture.series[0].values.length > least", arg=least
        )
        lengths.append(guide.evaluate("document.querySelector('#training-loss').picture.series[0].values.length"))
    guide.get_by_role("button", name="Pause").last.click()
    guide.wait_for_function("() => !state.get('training')")
    assert lengths[0] < lengths[2] < 1000


def test_a_click_on_the_loss_curve_looks_at_that_step(trained: Page) -> None:
    click_cell(trained, "training-loss", 0, 11)
    expect(trained.locator("#training-seen-title")).to_have_text("Step 12 of 1,000")
    expect(trained.locator("#run-step")).to_have_text("12")


def test_the_arrow_keys_on_a_curve_travel_through_the_steps(trained: Page) -> None:
    trained.locator("#training-loss .surface").focus()
    for key, step in [("End", 70), ("ArrowLeft", 69), ("PageUp", 19), ("Home", 1), ("ArrowLeft", 1), ("ArrowRight", 2)]:
        trained.keyboard.press(key)
        trained.wait_for_function("step => state.get('step') === step", arg=step)
    loss = trained.evaluate("theRun.losses[1]")
    expect(trained.locator("#training-loss .readout")).to_contain_text(f"step 2, loss {loss:.4f}")


def test_the_arrow_keys_in_the_section_look_one_step_back_and_on(trained: Page) -> None:
    trained.wait_for_function("() => state.section === 'training'")
    trained.locator("#training-seen-title").click()
    trained.keyboard.press("ArrowLeft")
    expect(trained.locator("#training-seen-title")).to_have_text("Step 2 of 1,000")
    trained.keyboard.press("ArrowRight")
    expect(trained.locator("#training-seen-title")).to_have_text("Step 3 of 1,000")


def test_looking_back_shows_what_a_run_stopped_there_showed(trained: Page, python_steps: list[PythonStep]) -> None:
    look(trained, 2)
    i = index_of(trained, WEIGHT)
    shown = full_value(trained, ".training-adam li[data-key=weight] .result .number")
    assert shown == pytest.approx(python_steps[1].after[i], rel=1e-12)
    tokens = trained.locator(".training-phases li").first.locator(".tag").all_inner_texts()
    assert "".join(tokens[1:-1]) == python_steps[1].name


def test_the_weights_curves_hold_every_step_and_their_slider_travels(
    trained: Page, python_steps: list[PythonStep]
) -> None:
    i = index_of(trained, WEIGHT)
    curves = trained.evaluate(
        """[...document.querySelectorAll("#training-histories figure")].flatMap(({picture}) =>
            picture.series.map(({name, values}) => [name, [...values]]))"""
    )
    shown = dict(curves)
    assert list(shown) == ["value", "gradient", "m", "m̂", "v", "v̂", "update", "learning rate"]
    expected = {
        "value": [step.after[i] for step in python_steps],
        "gradient": [step.gradients[i] for step in python_steps],
        "m": [step.m[i] for step in python_steps],
        "m̂": [step.m[i] / (1 - 0.85 ** (n + 1)) for n, step in enumerate(python_steps)],
        "v": [step.v[i] for step in python_steps],
        "v̂": [step.v[i] / (1 - 0.99 ** (n + 1)) for n, step in enumerate(python_steps)],
        "learning rate": [0.01 * (1 - n / 1000) for n in range(STEPS)],
    }
    for name, values in expected.items():
        assert shown[name][:STEPS] == pytest.approx(values, rel=1e-12), name
        assert len(shown[name]) == 70
    moves = [step.before[i] - step.after[i] for step in python_steps]
    assert shown["update"][:STEPS] == pytest.approx(moves, abs=1e-15)
    trained.locator("#training-moment").fill("1")
    expect(trained.locator("#training-moment-text")).to_have_text(f"1 of 70, read {python_steps[0].name}")
    marked = "[...document.querySelectorAll('#training-histories figure')].map(({picture}) => picture.marked)"
    assert trained.evaluate(marked) == [1] * 6


def test_one_ten_and_a_hundred_steps_are_that_many(guide: Page) -> None:
    see(guide, "training")
    reached = 0
    for steps in [1, 10, 100]:
        label = f"{steps} step{'s' if steps > 1 else ''}"
        guide.locator("#training").get_by_role("button", name=label, exact=True).click()
        reached += steps
        guide.wait_for_function("n => state.get('reached') === n && !state.get('training')", arg=reached)


def test_a_slow_run_can_be_paused_and_goes_on_at_another_speed(guide: Page) -> None:
    see(guide, "training")
    guide.locator("#training-speed").select_option("1 step a second")
    assert guide.locator(".runbar .speed-choice").input_value() == "1"
    guide.locator("#training .run-steps[data-steps='100']").click()
    guide.wait_for_function("() => state.get('reached') >= 1")
    guide.locator("#training-train").click()
    guide.wait_for_function("() => !state.get('training')")
    reached = guide.evaluate("state.get('reached')")
    assert reached < 10
    guide.locator("#training .run-steps[data-steps='10']").click()
    guide.wait_for_function("() => state.get('training')")
    guide.locator(".runbar .speed-choice").select_option("full speed")
    guide.wait_for_function("n => state.get('reached') === n && !state.get('training')", arg=reached + 10)


def test_the_prediction_is_answered_from_the_run(trained: Page) -> None:
    name = trained.evaluate("async () => (await engine.call('moment', 3)).name")
    losses = [loss_of(trained, name, step) for step in (STEPS - 1, STEPS)]
    trained.locator("#training-prediction").get_by_role("button", name="Yes, lower").click()
    answer = trained.locator("#training-prediction output")
    expect(answer).to_contain_text(f"{losses[0]:.4f} before, {losses[1]:.4f} after")
    expect(answer).to_contain_text("As you said" if losses[1] < losses[0] else "You said")


def test_a_link_to_a_weight_that_the_run_does_not_have_says_so(trained: Page) -> None:
    trained.evaluate("state.set('weight', 'layer7.attn_wq[0][0]')")
    expect(trained.locator("#training-weight-error")).to_contain_text("no weight layer7.attn_wq[0][0]")
    expect(trained.locator("#training-weight")).to_have_text("wte[0][0]")


def test_a_weight_without_any_gradient_so_far_stays_where_it_is_and_it_is_said(trained: Page) -> None:
    look(trained, 1)
    gradients = trained.evaluate("async () => (await engine.call('moment', 1)).gradients")
    unused = weight_name(trained, gradients.index(0))
    choose_weight(trained, unused)
    expect(trained.locator("#training-compared")).to_contain_text("no gradient in any step so far")


def test_a_single_step_lights_what_it_did_in_order_unless_motion_is_unwanted(guide: Page, browser: Browser) -> None:
    train(guide, 1)
    guide.keyboard.press("Enter")
    guide.wait_for_function("() => document.querySelector('#training-seen-title').textContent.startsWith('Step 2 ')")
    assert guide.locator(".training-phases .now").count() == 0
    moving = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True, reduced_motion="no-preference")
    page = moving.new_page()
    page.goto(guide.url.split("#")[0])
    page.wait_for_function("() => state.get('run') > 0")
    train(page, 1)
    page.wait_for_function("() => !document.querySelector('.training-phases .now')")  # the first step's walk is over
    page.evaluate(
        """() => {
            window.lit = [];
            new MutationObserver((changes) => {
                const lit = changes.map(({target}) => target).filter((item) => item.matches(".now"));
                window.lit.push(...lit.map((item) => item.querySelector(".phase-title").textContent));
            }).observe(document.querySelector(".training-phases"), {subtree: true, attributeFilter: ["class"]});
        }"""
    )
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.lit.length >= 5")
    titles = page.locator(".training-phases .phase-title").all_inner_texts()
    assert page.evaluate("window.lit") == titles
    moving.close()
