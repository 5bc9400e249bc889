"""Section 4: a name goes through the model one operation at a time, and a whole step is seen as one graph."""

from __future__ import annotations

import math
from typing import Any

import pytest
from forward_section import NAME, look_at, trace
from looking import see
from playwright.sync_api import BrowserContext, Page, expect

from glassbox import microgpt

OPERATIONS = [
    *("token", "position", "embedding", "embedding.norm"),
    *(f"layer0.attention.{one}" for one in ("norm", "query", "key", "value", "scores", "weights", "mixed", "output")),
    *("layer0.attention.residual", "layer0.mlp.norm", "layer0.mlp.hidden", "layer0.mlp.relu", "layer0.mlp.output"),
    *("layer0.mlp.residual", "logits", "probabilities", "losses", "loss"),
]


def vector(page: Page, operation: str, position: int) -> list[float]:
    """The numbers of one operation at one position, as the engine computes them."""
    shape = trace(page, f"trace.values['{operation}'].shape")
    data = trace(page, f"[...trace.values['{operation}'].data]")
    if operation == "loss":
        return data
    if len(shape) == 1:
        return [data[position]]
    size = math.prod(shape[1:])
    row = data[position * size : (position + 1) * size]
    if len(shape) == 2:
        return row
    return [one for head in range(shape[1]) for one in row[head * shape[2] : head * shape[2] + position + 1]]


def shown(page: Page, cells: str) -> list[float]:
    return page.evaluate(f"() => [...document.querySelector('[data-cells=\"{cells}\"]').picture.cells.values]")


def formula_numbers(page: Page) -> list[str]:
    return page.locator(".forward-formula .number").all_inner_texts()


# ---- The name at a glance --------------------------------------------------------------------------------------------
def test_the_loss_of_the_untrained_model_is_that_of_the_python_file(guide: Page):
    guide.evaluate("name => state.set('name', name)", NAME)
    see(guide, "forward")
    guide.wait_for_function("name => sections.get('forward').moment?.trace.text === name", arg=NAME)
    names = guide.evaluate("theRun.ownNames")
    microgpt.random.seed(42)
    shuffled = names[:]
    microgpt.random.shuffle(shuffled)
    characters, bos = microgpt.build_vocabulary(names)
    matrices = microgpt.build_parameters(len(characters) + 1, 1, 16, 16)
    loss: Any = microgpt.name_loss(microgpt.tokenize(NAME, characters, bos), matrices, 1, 4, 16)
    guide.locator("#forward-whole .number").click()
    text = guide.locator("#number-card dd").first.inner_text()
    assert float(text) == pytest.approx(loss.data, abs=1e-9)


def test_every_position_has_its_token_the_next_one_its_probability_and_its_loss(forward: Page):
    def glance(which: str) -> Any:
        return forward.evaluate(f"""() => {{
            const {{ words, values }} = document.querySelector('[data-glance="{which}"]').picture.cells;
            return [[...words], [...values]];
        }}""")

    targets, losses = trace(forward, "[...trace.targets]"), trace(forward, "[...trace.losses]")
    probabilities = [vector(forward, "probabilities", at)[target] for at, target in enumerate(targets)]
    words = [f"{one}→{following}" for one, following in zip(["BOS", *NAME], [*NAME, "BOS"], strict=True)]
    assert glance("probabilities") == [words, probabilities]
    assert glance("losses") == [words, losses]
    forward.locator("[data-glance='losses'] .surface").focus()
    expect(forward.locator("[data-glance='losses'] .readout")).to_contain_text(f"losses[0] = {losses[0]:.6f}")
    forward.keyboard.press("Escape")


@pytest.mark.parametrize("place", ["glance", "stream", "list"])
def test_a_position_that_is_chosen_is_looked_at(forward: Page, place: str):
    if place == "list":
        forward.locator("#forward-position").select_option("3")
    else:
        picture = forward.locator("[data-glance='losses']" if place == "glance" else ".forward-streams figure").first
        row, column = (0, 3) if place == "glance" else (3, 0)
        box = picture.evaluate("(host, cell) => host.picture.box(...cell)", [row, column])
        picture.locator("canvas").click(position={"x": box["x"] + 5, "y": box["y"] + 5})
    forward.wait_for_function("() => state.get('position') === 3")
    look_at(forward, operation="layer0.mlp.residual")
    assert shown(forward, "output") == vector(forward, "layer0.mlp.residual", 3)
    assert forward.locator("#forward-position").input_value() == "3"


def test_another_name_is_read_and_one_that_cannot_be_spelled_is_refused(forward: Page):
    box = forward.locator("#forward-input")
    box.fill("zoe")
    forward.wait_for_function("() => sections.get('forward').moment.trace.text === 'zoe'")
    words = forward.evaluate("[...document.querySelector('[data-glance=\"losses\"]').picture.cells.words]")
    assert words == ["BOS→z", "z→o", "o→e", "e→BOS"]
    box.fill("zoë")
    assert "“ë” occurs in no name" in forward.locator("#forward-error").inner_text()
    assert forward.evaluate("state.get('name')") == "zoe"


def test_the_prediction_is_answered_from_the_losses_of_this_run(forward: Page):
    losses = trace(forward, "[...trace.losses]")
    most = losses.index(max(losses))
    forward.locator("#forward-prediction .choices button").nth(most).click()
    answer = forward.locator("#forward-prediction output")
    expect(answer).to_contain_text("As you said.")
    expect(answer).to_contain_text(f"a loss of {losses[most]:.4f}")


# ---- One operation at a time -----------------------------------------------------------------------------------------
def test_the_arrow_keys_go_through_all_operations_and_on_to_the_next_position(forward: Page):
    look_at(forward, position=0, operation="token")
    forward.evaluate("() => document.activeElement?.blur()")
    seen = []
    for _ in OPERATIONS:
        seen.append(forward.evaluate("state.get('operation')"))
        forward.keyboard.press("ArrowRight")
    assert seen == OPERATIONS
    assert forward.evaluate("[state.get('position'), state.get('operation')]") == [1, "token"]
    forward.keyboard.press("ArrowLeft")
    assert forward.evaluate("[state.get('position'), state.get('operation')]") == [0, "loss"]


@pytest.mark.parametrize("position", [0, 3])
def test_every_operation_shows_all_numbers_of_its_result_and_of_what_it_reads(forward: Page, position: int):
    inputs = forward.evaluate("theRun.operations.map(({id, inputs, kind}) => [id, inputs, kind])")
    for operation, read, kind in inputs:
        look_at(forward, position=position, operation=operation)
        assert shown(forward, "output") == vector(forward, operation, position)
        if read and kind != "mean":
            assert shown(forward, "first") == vector(forward, read[0], position)
        if kind in ("scores", "mix"):  # these look back: keys and values of every position so far
            past = [number for earlier in range(position + 1) for number in vector(forward, read[1], earlier)]
            assert shown(forward, "second") == past


def test_every_formula_ends_in_the_number_of_the_engine_and_tells_where_it_comes_from(forward: Page):
    for operation in OPERATIONS:
        look_at(forward, position=2, operation=operation, cell=5)
        result = vector(forward, operation, 2)
        forward.locator(".forward-formula .number").last.click()
        card = forward.locator("#number-card")
        value = card.locator("dd").first.inner_text().replace("−", "-")
        assert float(value) == result[min(5, len(result) - 1)]
        name = {"token": "wte[", "position": "wpe["}.get(operation, operation)  # a row that is looked up is a weight's
        assert card.locator("h3").inner_text().startswith(name)
        forward.keyboard.press("Escape")


def test_the_numbers_in_the_formula_of_a_query_are_those_that_give_it(forward: Page):
    look_at(forward, position=2, operation="layer0.attention.query", cell=7)
    first = forward.evaluate("theRun.matrices.find(({name}) => name === 'layer0.attn_wq').first")
    weights = forward.evaluate("engine.call('moment', 5).then(({weights}) => [...weights])")
    row = weights[first + 7 * 16 : first + 8 * 16]
    read = vector(forward, "layer0.attention.norm", 2)
    expected = [number for pair in zip(row, read, strict=True) for number in pair]
    texts = formula_numbers(forward)
    assert len(texts) == 33
    for text, number in zip(texts, [*expected, sum(w * x for w, x in zip(row, read, strict=True))], strict=True):
        assert float(text.replace("−", "-")) == pytest.approx(number, abs=0.00051)


def test_the_exponentials_in_the_formula_of_softmax_give_the_weight(forward: Page):
    look_at(forward, position=3, operation="layer0.attention.weights", cell=6)  # head 1, position 2
    scores = vector(forward, "layer0.attention.scores", 3)[4:8]
    exponentials = [math.exp(one - max(scores)) for one in scores]
    lines = forward.locator(".forward-formula p")
    total = lines.nth(1).locator(".number").all_inner_texts()
    assert total == [f"{one:.3f}" for one in [*exponentials, sum(exponentials)]]
    assert lines.nth(2).locator(".number").last.inner_text() == f"{exponentials[2] / sum(exponentials):.3f}"


def test_the_formula_of_rmsnorm_has_the_mean_square_and_the_scale(forward: Page):
    look_at(forward, position=1, operation="layer0.mlp.norm", cell=2)
    read = vector(forward, "layer0.attention.residual", 1)
    mean_square = sum(one * one for one in read) / 16
    lines = forward.locator(".forward-formula p")
    assert lines.nth(0).locator(".number").last.inner_text() == f"{mean_square:.3f}"
    assert lines.nth(1).locator(".number").last.inner_text() == f"{(mean_square + 1e-5) ** -0.5:.3f}"


def test_a_click_on_a_cell_of_the_result_writes_its_formula(forward: Page):
    look_at(forward, position=1, operation="layer0.mlp.hidden", cell=0)
    picture = forward.locator('[data-cells="output"]')
    box = picture.evaluate("host => host.picture.box(2, 3)")
    picture.locator("canvas").click(position={"x": box["x"] + 10, "y": box["y"] + 10})
    columns = picture.evaluate("host => host.picture.shape()[1]")
    expect(forward.locator(".forward-formula p").first).to_contain_text(f"layer0.mlp.hidden[1][{2 * columns + 3}]")


def test_the_arrow_keys_walk_through_the_numbers_of_a_formula_without_going_to_another_operation(forward: Page):
    look_at(forward, position=1, operation="layer0.attention.query", cell=0)
    numbers = forward.locator(".forward-formula .number")
    numbers.first.focus()
    forward.keyboard.press("ArrowRight")
    expect(numbers.nth(1)).to_be_focused()
    forward.keyboard.press("End")
    expect(numbers.last).to_be_focused()
    assert forward.evaluate("state.get('operation')") == "layer0.attention.query"


def test_the_line_of_python_of_the_operation_is_lit_in_the_panel(forward: Page):
    for operation, line in [
        ("layer0.attention.value", "values[layer].append(linear("),
        ("layer0.mlp.relu", "hidden = [number.relu()"),
        ("losses", "losses.append(-softmax(logits)"),
    ]:
        look_at(forward, operation=operation)
        assert line in (forward.locator("#forward .python .row.now").text_content() or "")
        assert line in (forward.locator("#forward-line").text_content() or "")
    forward.locator("#forward-line").click()
    assert forward.locator("#forward .python").evaluate("panel => panel.open")


# ---- The block diagram -----------------------------------------------------------------------------------------------
def test_a_block_of_the_diagram_goes_to_its_operation_and_what_is_to_come_has_no_numbers(forward: Page):
    diagram = forward.locator(".forward-diagram")
    now = OPERATIONS.index("layer0.attention.mixed")
    box = diagram.evaluate("(host, row) => host.picture.box(row)", now)
    diagram.locator("canvas").click(position={"x": box["x"] + 20, "y": box["y"] + 10})
    forward.wait_for_function("() => state.get('operation') === 'layer0.attention.mixed'")
    look_at(forward)
    rows = diagram.evaluate("host => host.picture.table().rows")
    states = [*["computed"] * now, "current", *["to come"] * (len(OPERATIONS) - now - 1)]
    assert [state for _, state, _ in rows] == states
    assert all(bool(numbers) == (state != "to come") for _, state, numbers in rows)
    mixed = vector(forward, "layer0.attention.mixed", forward.evaluate("sections.get('forward').position"))
    assert [float(one.replace("−", "-")) for one in rows[now][2].split(", ")] == pytest.approx(mixed, abs=0.00051)


def test_a_block_shows_its_vector_at_the_position_in_the_colours_of_its_numbers(forward: Page):
    look_at(forward, position=3, operation="loss")
    colours = forward.evaluate(
        """() => {
            const picture = document.querySelector('.forward-diagram').picture;
            const { x, y, width } = picture.boxes.get('layer0.attention.query');
            const svg = new DOMParser().parseFromString(picture.svg(), 'image/svg+xml');
            const number = (rect, name) => Number(rect.getAttribute(name));
            return [...svg.querySelectorAll('rect')]
                .filter((rect) => number(rect, 'y') === y + 20 && number(rect, 'height') === 12)
                .filter((rect) => number(rect, 'x') >= x && number(rect, 'x') < x + width)
                .map((rect) => rect.getAttribute('fill'));
        }"""
    )
    query = vector(forward, "layer0.attention.query", 3)
    limit = max(abs(one) for one in query)
    assert colours == forward.evaluate(
        "([query, limit]) => query.map((one) => theme.palette.signed(one, limit))", [query, limit]
    )


def test_the_keys_go_from_block_to_block_and_enter_goes_there_and_does_not_train(forward: Page):
    look_at(forward, operation="layer0.attention.query")
    forward.locator(".forward-diagram .surface").focus()
    forward.keyboard.press("ArrowDown")
    expect(forward.locator(".forward-diagram .readout")).to_have_text("Key: to come")
    forward.keyboard.press("Enter")
    forward.wait_for_function("() => state.get('operation') === 'layer0.attention.key'")
    assert forward.evaluate("state.get('reached')") == 5


def test_with_reduced_motion_nothing_travels(forward: Page):
    look_at(forward, operation="layer0.attention.scores")
    assert forward.evaluate("sections.get('forward').diagram.travelling") is None


def test_the_inputs_travel_along_their_lines_and_then_rest(forward: Page):
    forward.emulate_media(reduced_motion="no-preference")
    moving = forward.evaluate(
        """async () => {
            state.set('operation', 'layer0.attention.scores');
            const { diagram } = sections.get('forward');
            while (!diagram.travelling) await new Promise(requestAnimationFrame);
            return diagram.moving.length;
        }"""
    )
    assert moving == 2  # the query and the key
    forward.wait_for_function("() => sections.get('forward').diagram.travelling === null")


def test_play_goes_on_by_itself_and_the_slider_scrubs(forward: Page):
    look_at(forward, position=0, operation="token")
    forward.locator("#forward-speed").select_option("5")
    play = forward.get_by_role("button", name="Play", exact=True)
    play.click()
    forward.wait_for_function("() => state.get('operation') === 'embedding.norm'")
    forward.locator('[data-walk="0"]').click()
    stopped = forward.evaluate("state.get('operation')")
    forward.locator("#forward-scrub").fill(str(OPERATIONS.index("logits")))
    forward.wait_for_function("() => state.get('operation') === 'logits'")
    assert stopped in OPERATIONS
    assert forward.evaluate("sections.get('forward').playing") is None


def test_the_diagram_is_saved_as_svg_with_the_numbers_colours_in_it(forward: Page):
    look_at(forward, position=1, operation="loss")
    with forward.expect_download() as saved:
        forward.locator('.forward-diagram [data-tool="svg"]').click()
    text = saved.value.path().read_text(encoding="utf-8")
    assert text.startswith("<svg")
    assert "bypass" in text and "#" in text and "var(" not in text


def test_a_link_leads_to_the_same_operation_position_and_number(context: BrowserContext, forward: Page):
    look_at(forward, position=2, operation="layer0.attention.mixed", cell=9, weight="lm_head[4][2]")
    formula = forward.locator(".forward-formula").inner_text()
    address = forward.evaluate("location.href.split('#')[0] + state.fragment()")
    other = context.new_page()
    other.goto(address)
    other.wait_for_function("() => sections.get('forward').graph?.path?.weight === 'lm_head[4][2]'")
    other.wait_for_function("() => sections.get('forward').moment.trace.step === 5")
    look_at(other)
    assert other.locator(".forward-formula").inner_text() == formula
    other.close()


@pytest.mark.parametrize("fragment", ["operation=nonsense", "operation=%3Cb%3E&cell=9999", "cell=-1&position=99"])
def test_an_address_that_makes_no_sense_shows_what_there_is(context: BrowserContext, guide: Page, fragment: str):
    other = context.new_page()
    faults: list[str] = []
    other.on("pageerror", lambda error: faults.append(str(error)))
    other.goto(guide.url.split("#")[0] + f"#forward?{fragment}")
    other.wait_for_function("() => sections.get('forward').graph?.path")
    assert other.locator(".forward-formula .number").count() > 0
    assert faults == []
    other.close()


def test_axe_finds_nothing_in_the_section(forward: Page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    for operation in ("layer0.attention.query", "layer0.attention.mixed", "probabilities"):
        look_at(forward, operation=operation)
        found = axe.run(forward, context="#forward")
        assert found.violations_count == 0, found.generate_report()
