"""Section 2 of the guide: an expression as a graph of values, and the chain rule one node at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from looking import GUIDE, see
from playwright.sync_api import Browser, Page, expect

from glassbox.microgpt import Value

ADDRESS = "#autograd?expr={}&at={}"


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The guide, opened once for all tests here, and the faults that it has reported."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True, reduced_motion="reduce")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(GUIDE.as_uri())
    page.wait_for_function("() => state.get('run') > 0")
    see(page, "autograd")
    yield page, faults
    context.close()


@pytest.fixture
def autograd(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The section as it is when the page opens: a*b + a, no gradients yet."""
    page, faults = opened
    page.evaluate("() => { document.activeElement.blur(); state.readFragment('#autograd'); }")
    wait_for_graph(page, "a*b + a", "a:2,b:-3")
    yield page
    assert faults == []


def wait_for_graph(page: Page, text: str, at: str) -> None:
    """Until the graph of `text` stands there with those numbers, and the table beside it too."""
    page.wait_for_function(
        """([text, at]) => { const own = sections.get('autograd'); return own.shown?.graph.text === text
            && printInputs(own.shown.inputs) === at && own.checked === `${text} at ${at}`
            && own.graph.taken === own.taken && !document.querySelector('#autograd-error').textContent; }""",
        arg=[text, at],
    )


def show_expression(page: Page, text: str, at: str) -> None:
    page.evaluate("([text, at]) => { state.set('expr', text); state.set('at', at); }", [text, at])
    wait_for_graph(page, text, at)


def nodes(page: Page) -> list[str]:
    """What is told of each node: 'a = 2.000, gradient: −2 (of the result towards it), which is: 1 + −3'."""
    return page.evaluate(
        """() => { const { graph } = sections.get('autograd');
            return graph.graph.nodes.map(({ id }) => graph.describe(graph.origin(0, id))); }"""
    )


def take(page: Page, steps: int) -> None:
    """Wait until so many steps of the chain rule are shown."""
    page.wait_for_function(
        "steps => document.querySelector('#autograd-count').textContent.startsWith(`${steps} of`)", arg=steps
    )


def in_python(text: str, at: str) -> tuple[Value, dict[str, Value]]:
    """The same expression with the Values of microgpt.py, and its gradients."""
    inputs = {name: Value(float(number)) for name, number in (pair.split(":") for pair in at.split(","))}
    functions = {"relu": Value.relu, "exp": Value.exp, "log": Value.log}
    result = eval(text, {"__builtins__": {}}, {**functions, **inputs})  # noqa: S307  (expressions of this file)
    result.backward()
    return result, inputs


EXPRESSIONS = [
    ("a + b", "a:2,b:-3"),
    ("a * b", "a:2,b:-3"),
    ("log(exp(a) + exp(b))", "a:2,b:1"),
    ("relu(a*b + c)", "a:2,b:-3,c:8"),
    ("relu(a*b + c)", "a:2,b:-3,c:1"),
    ("-log(exp(a) / (exp(a) + exp(b)))", "a:1,b:2"),
    ("(a - b) ** 3 / (a * a + 1) - 2 * b ** -0.5", "a:1.5,b:2.25"),
    ("a * a * a", "a:-1.25"),
]


@pytest.mark.parametrize(("text", "at"), EXPRESSIONS)
def test_values_and_gradients_are_those_of_python_and_agree_with_nudging(autograd: Page, text: str, at: str):
    show_expression(autograd, text, at)
    result, inputs = in_python(text, at)
    assert autograd.evaluate(
        "() => { const { nodes, output } = sections.get('autograd').shown.graph; return nodes[output].data; }"
    ) == pytest.approx(result.data, rel=1e-14)
    rows = autograd.locator("#autograd-check tbody tr")
    assert rows.locator("th").all_inner_texts() == sorted(inputs)
    for row in rows.all():
        gradient = inputs[row.locator("th").inner_text()].grad
        backward, nudged, difference = (
            float(cell.get_attribute("data-value") or "nan") for cell in row.locator("td").all()
        )
        assert backward == pytest.approx(gradient, rel=1e-13)
        assert nudged == pytest.approx(gradient, rel=1e-6, abs=1e-8)
        assert difference == nudged - backward


def test_the_presets_have_addition_multiplication_log_and_exp_and_relu(autograd: Page):
    shown = {}
    for button in autograd.locator("#autograd-presets button").all():
        button.click()
        text = button.get_attribute("title") or ""
        autograd.wait_for_function("text => sections.get('autograd').shown.graph.text === text", arg=text)
        assert button.get_attribute("aria-pressed") == "true"
        assert autograd.locator("#autograd-expression").input_value() == text
        shown[button.inner_text()] = text
    assert {"addition", "multiplication", "log + exp", "ReLU"} <= set(shown)
    assert "+" in shown["addition"]
    assert "relu" in shown["ReLU"]


def test_backward_pressed_five_times_gives_the_same_gradients(autograd: Page):
    _, inputs = in_python("a*b + a", "a:2,b:-3")
    seen = []
    for _ in range(5):
        autograd.locator("#autograd-backward").click()
        take(autograd, 3)
        seen.append(nodes(autograd))
    assert seen == [seen[0]] * 5
    assert f"a = 2.000, gradient: −{-inputs['a'].grad:.0f} (of the result towards it), which is: 1 + −3" in seen[0]
    assert f"b = −3.000, gradient: {inputs['b'].grad:.0f} (of the result towards it)" in seen[0]


def test_the_arrow_keys_go_through_the_chain_rule_node_by_node_and_back(autograd: Page):
    autograd.evaluate("state.section = 'autograd'")
    said, lines = [], []
    for steps in (1, 2, 3):
        autograd.keyboard.press("ArrowRight")
        take(autograd, steps)
        said.append(autograd.locator("#autograd-sentence").inner_text())
        lines.append(autograd.locator("#autograd .python .row.now").text_content() or "")
    assert "self.grad = 1.0" in lines[0]
    assert "parent.grad += slope * value.grad" in lines[1] == lines[2]
    assert "(…) + a hands on" in said[1]
    assert "b gets slope 2.000 × gradient 1.000 = 2.000" in said[2]
    assert "with what it had: 1.000 − 3.000 = −2.000" in said[2]
    autograd.keyboard.press("ArrowRight")  # there is nothing left to hand on
    take(autograd, 3)
    autograd.keyboard.press("ArrowLeft")
    take(autograd, 2)
    assert "a = 2.000, gradient: 1 (of the result towards it)" in nodes(autograd)
    autograd.locator("#autograd-reset").click()
    take(autograd, 0)
    assert all("gradient: 0 (nothing has reached it yet)" in node for node in nodes(autograd))


def test_a_node_that_is_used_twice_shows_both_contributions_and_their_sum(autograd: Page):
    autograd.locator("#autograd-backward").click()
    take(autograd, 3)
    assert "a = 2.000, gradient: −2 (of the result towards it), which is: 1 + −3" in nodes(autograd)
    edges = autograd.locator(".value-graph svg").text_content() or ""
    assert "value2.000gradient−2.000= 1.000 − 3.000" in edges
    for written in ("slope −3.000× 1.000 = −3.000", "slope 2.000× 1.000 = 2.000", "slope 1.000× 1.000 = 1.000"):
        assert written in edges


def test_a_slope_stands_on_its_edge_before_a_gradient_has_passed_there(autograd: Page):
    autograd.evaluate("state.set('backward', 1)")
    take(autograd, 1)
    written = autograd.locator(".value-graph svg").text_content() or ""
    assert "slope −3.000" in written
    assert "× 1.000 =" not in written


def test_sliders_and_exact_numbers_move_the_values_while_the_graph_stays(autograd: Page):
    autograd.evaluate("() => { state.set('backward', 3); sections.get('autograd').graph.layout.marked = true; }")
    slider = autograd.locator("#autograd-input-a")
    slider.focus()
    slider.press("ArrowRight")
    wait_for_graph(autograd, "a*b + a", "a:2.1,b:-3")
    assert "a = 2.100, gradient: −2 (of the result towards it), which is: 1 + −3" in nodes(autograd)
    autograd.get_by_label("b, exactly").fill("12.5")
    wait_for_graph(autograd, "a*b + a", "a:2.1,b:12.5")
    _, inputs = in_python("a*b + a", "a:2.1,b:12.5")
    assert f"a = 2.100, gradient: {inputs['a'].grad} (of the result towards it), which is: 1 + 12.5" in nodes(autograd)
    assert autograd.evaluate("sections.get('autograd').graph.layout.marked")
    autograd.wait_for_function("() => decodeURIComponent(location.hash).includes('at=a:2.1,b:12.5')")


def test_a_number_that_is_none_is_marked_and_changes_nothing(autograd: Page):
    field = autograd.get_by_label("a, exactly")
    for typed in ("", "-", "1e999"):
        field.evaluate("(field, typed) => { field.value = typed; field.dispatchEvent(new Event('input')); }", typed)
        assert field.get_attribute("aria-invalid") == "true"
        assert autograd.evaluate("state.get('at')") == "a:2,b:-3"
    field.fill("4")
    wait_for_graph(autograd, "a*b + a", "a:4,b:-3")
    assert field.get_attribute("aria-invalid") == "false"


@pytest.mark.parametrize(
    ("typed", "marked", "told"),
    [
        ("relu(a*b + ) ** 2", ")", "place 12"),
        ("a $ b", "$", "no meaning"),
        ("(a + b", "␣", "closing bracket"),
        ("tanh(a)", "t", "no function tanh"),
        ("a ** b", "*", "plain number"),
        ("log(a - 2)", "l", "above 0"),
        ("b / (a - 2)", "/", "divided by 0"),
        ("exp(exp(exp(a)))", "e", "finite"),
        ("", None, "no expression"),
        ("a" + "+a" * 105, None, "at most 200"),
        ("<b>a</b>", "<", "no meaning"),
    ],
)
def test_a_fault_is_told_at_its_place_and_the_last_graph_stays(
    autograd: Page, typed: str, marked: str | None, told: str
):
    autograd.locator("#autograd-expression").fill(typed)
    autograd.wait_for_function("told => document.querySelector('#autograd-error').textContent.includes(told)", arg=told)
    fault = autograd.locator("#autograd-error mark")
    assert (fault.inner_text() if fault.count() else None) == marked
    assert "still that of a*b + a" in autograd.locator("#autograd-error").inner_text()
    assert len(nodes(autograd)) == 4
    assert autograd.locator("#autograd-backward").is_disabled()
    autograd.locator("#autograd-expression").fill("b * 2")
    wait_for_graph(autograd, "b * 2", "b:-3")
    assert autograd.locator("#autograd-backward").is_enabled()


def test_a_link_holds_the_expression_its_numbers_and_the_step_of_the_chain_rule(autograd: Page):
    show_expression(autograd, "a*a - b", "a:4,b:0.5")
    autograd.evaluate("state.set('backward', 2)")
    take(autograd, 2)
    before = nodes(autograd)
    link = autograd.evaluate("state.fragment()")
    autograd.evaluate("state.readFragment('#autograd')")
    wait_for_graph(autograd, "a*b + a", "a:2,b:-3")
    autograd.evaluate("link => state.readFragment(link)", link)
    wait_for_graph(autograd, "a*a - b", "a:4,b:0.5")
    take(autograd, 2)
    assert nodes(autograd) == before


@pytest.mark.parametrize("broken", ["at=a", "at=a:x,b:1", "at=a:1e999", "backward=-1", "backward=2.5"])
def test_what_a_link_garbles_is_as_if_it_were_not_there(autograd: Page, broken: str):
    autograd.evaluate("link => state.readFragment(link)", f"#autograd?{broken}")
    assert autograd.evaluate("[state.get('at'), state.get('backward')]") == ["a:2,b:-3", 0]


def test_the_keyboard_reaches_every_node_and_slope_and_says_where_its_number_comes_from(autograd: Page):
    surface = autograd.locator("#autograd-graph .surface")
    surface.focus()
    readout = autograd.locator("#autograd-graph .readout")
    told = [readout.inner_text()]
    for _ in range(7):
        autograd.keyboard.press("ArrowRight")
        told.append(readout.inner_text())
    assert [one.split(" =")[0] for one in told] == [
        *("a", "b", "a × b", "(…) + a"),
        *(
            "slope of a × b towards a",
            "slope of a × b towards b",
            "slope of (…) + a towards a × b",
            "slope of (…) + a towards a",
        ),
    ]
    assert "how much a × b grows when a grows by one" in told[4]
    autograd.keyboard.press("Home")
    assert "gradient: 0" in readout.inner_text()
    autograd.evaluate("state.set('backward', 3)")
    take(autograd, 3)
    assert "gradient: −2" in readout.inner_text()
    autograd.keyboard.press("ArrowRight")
    autograd.keyboard.press("ArrowRight")
    lit = autograd.locator("#autograd .python .row.now").text_content() or ""
    assert "return Value(self.data * other.data" in lit
    autograd.keyboard.press("Enter")
    card = autograd.locator("#number-card")
    for said in ("a × b", "−6", "slope towards a", "−3", "return Value(self.data * other.data"):
        assert said in card.inner_text()
    assert autograd.evaluate("state.get('reached')") == 0  # Enter opened the card; it didn't train
    autograd.keyboard.press("Escape")
    assert card.is_hidden()


def test_a_click_on_a_node_opens_its_card(autograd: Page):
    place = autograd.evaluate("sections.get('autograd').graph.layout.places[1]")
    autograd.locator("#autograd-graph .surface").click(position=place)
    card = autograd.locator("#number-card")
    expect(card.locator("h3")).to_have_text("b")  # the card of another test may stand there until then
    autograd.keyboard.press("Escape")


def test_nodes_never_overlap_and_edges_lead_to_the_right(autograd: Page):
    for text, at in EXPRESSIONS:
        show_expression(autograd, text, at)
        places, edges = autograd.evaluate(
            """() => { const { layout } = sections.get('autograd').graph; return [
                layout.places.map(({x, y}) => [x, y]), layout.edges.map(({curves}) => curves.flat())]; }"""
        )
        labels = autograd.evaluate("sections.get('autograd').graph.layout.edges.map(({label}) => [label.x, label.y])")
        for i, (x, y) in enumerate(labels):
            assert all(abs(x - other_x) > 110 or abs(y - other_y) >= 32 for other_x, other_y in labels[:i]), text
        for i, (x, y) in enumerate(places):
            for other_x, other_y in places[:i]:
                assert abs(x - other_x) >= 128 or abs(y - other_y) >= 70, text
        for points in edges:
            assert all(left[0] <= right[0] for left, right in pairwise(points))


def test_the_graph_is_saved_with_its_colours_as_svg_and_png_and_read_as_a_table(autograd: Page):
    autograd.evaluate("state.set('backward', 3)")
    take(autograd, 3)
    with autograd.expect_download() as download:
        autograd.locator("figure#autograd-graph [data-tool=svg]").click(force=True)
    saved = ElementTree.fromstring(download.value.path().read_text(encoding="utf-8"))
    texts = [one for one in saved.iter("{http://www.w3.org/2000/svg}text") if one.text]
    assert {"−2.000", "slope −3.000", "= 1.000 − 3.000"} <= {one.text for one in texts}
    assert all(one.get("fill", "").startswith("#") and one.get("font-family") for one in texts)
    with autograd.expect_download() as download:
        autograd.locator("figure#autograd-graph [data-tool=png]").click(force=True)
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    table = autograd.locator("figure#autograd-graph .table")
    autograd.locator("figure#autograd-graph [data-tool=table]").click(force=True)
    assert "1.000 − 3.000 = −2.000" in table.inner_text()
    autograd.locator("figure#autograd-graph [data-tool=table]").click(force=True)
    assert table.is_hidden()


def test_the_prediction_is_answered_by_the_engine(autograd: Page):
    autograd.locator("#autograd-prediction button", has_text="−3").click()
    answer = autograd.locator("#autograd-prediction output")
    autograd.wait_for_function("() => document.querySelector('#autograd-prediction output').textContent.includes('=')")
    _, inputs = in_python("a*b + a", "a:2,b:-3")
    assert f"It is: −{-inputs['a'].grad:.0f}." in answer.inner_text()
    assert "1 + −3 = −2" in answer.inner_text()


def test_with_motion_slope_times_gradient_travels_from_the_result_towards_the_inputs(browser: Browser):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="no-preference")
    page = context.new_page()
    page.goto(GUIDE.as_uri() + "#autograd?backward=2")
    page.wait_for_function("() => state.get('run') > 0 && sections.get('autograd').graph?.taken === 2")
    page.evaluate(
        """() => { window.travelled = []; const { travellers } = sections.get('autograd').graph;
            const look = () => { for (const one of travellers.children) {
                const box = one.getBoundingClientRect();
                const graph = document.querySelector('.value-graph svg').getBoundingClientRect();
                travelled.push([one.textContent, box.x, box.top >= graph.top && box.bottom <= graph.bottom]);
            } requestAnimationFrame(look); };
            look(); }"""
    )
    page.locator("#autograd-next").click()
    take(page, 3)
    for text in ("−3.000 × 1.000", "2.000 × 1.000"):
        way = [x for told, x, inside in page.evaluate("travelled") if told == text and inside]
        assert len(way) > 2
        assert way == sorted(way, reverse=True)
        assert way[0] - way[-1] > 120  # the whole way between two layers
    assert page.evaluate("sections.get('autograd').graph.travellers.childElementCount") == 0
    page.locator("#autograd-backward").click()
    page.locator("#autograd-next").click()  # breaks it off; quick presses count each
    page.wait_for_function("() => !sections.get('autograd').graph.motion")
    assert page.evaluate("state.get('backward')") <= 3
    assert math.isclose(page.evaluate("sections.get('autograd').shown.graph.nodes[0].gradient"), -2.0)
    context.close()
