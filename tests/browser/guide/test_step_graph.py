"""Section 4, the whole step as one graph: four levels, one weight's gradient lit, from the loss to single values."""

from __future__ import annotations

from typing import Any

import pytest
from forward_section import NAME, look_at, trace
from playwright.sync_api import Page, expect


def graph(page: Page, expression: str) -> Any:
    return page.evaluate(f"() => {{ const graph = sections.get('forward').graph; return {expression}; }}")


def test_the_boxes_of_every_level_stand_for_all_values_of_the_step(forward: Page):
    nodes = trace(forward, "trace.nodes")
    for level in ("Loss", "Modules", "Operations"):
        forward.get_by_role("group", name="Level").get_by_role("button", name=level).click()
        forward.wait_for_function(f"() => sections.get('forward').graph.level === '{level.lower()}'")
        assert graph(forward, "graph.boxes.reduce((sum, box) => sum + box.values, 0)") == nodes
        expect(forward.locator("#forward-graph-says")).to_contain_text(f"Level: {level.lower()}.")


def test_the_gradient_of_a_weight_flows_whole_through_every_cut_of_the_graph(forward: Page):
    look_at(forward, weight="layer0.attn_wq[3][7]")
    forward.wait_for_function("() => sections.get('forward').graph.path.weight === 'layer0.attn_wq[3][7]'")
    index = forward.evaluate("theRun.weightNames.indexOf('layer0.attn_wq[3][7]')")
    gradient = trace(forward, f"trace.gradients[{index}]")
    for cut in ("query", "scores", "weights", "mixed", "output", "residual"):
        flow = graph(
            forward,
            f"""graph.layout.operations.filter(({{title}}) => title.startsWith('layer0.attention.{cut},'))
                .reduce((sum, box) => sum + box.flow, 0)""",
        )
        assert flow == pytest.approx(gradient, rel=1e-9)
    assert graph(forward, "graph.layout.levels.loss.boxes[0].flow") == pytest.approx(gradient)
    modules = dict(graph(forward, "graph.layout.levels.modules.boxes.map((box) => [box.title, box.flow])"))
    for module in ("Attention, weights", "Attention", "MLP", "Output", "Loss"):
        assert modules[module] == pytest.approx(gradient, rel=1e-9)
    assert modules["Embedding"] == modules["MLP, weights"] == 0


def test_a_weight_is_chosen_by_its_name_and_one_that_there_is_not_is_refused(forward: Page):
    box = forward.locator("#forward-weight")
    box.fill("layer0.mlp_fc2[2][40]")
    forward.wait_for_function("() => sections.get('forward').graph.path.weight === 'layer0.mlp_fc2[2][40]'")
    box.fill("layer0.mlp_fc3[0][0]")
    expect(forward.locator("#forward-weight-error")).to_contain_text("There is no weight “layer0.mlp_fc3[0][0]”")
    assert forward.evaluate("state.get('weight')") == "layer0.mlp_fc2[2][40]"


def test_the_keys_go_from_box_to_box_into_one_and_out_again(forward: Page):
    surface = forward.locator("#forward-stepgraph .surface")
    surface.focus()
    forward.keyboard.press("Home")
    forward.keyboard.press("ArrowDown")
    forward.keyboard.press("ArrowRight")
    expect(forward.locator("#forward-stepgraph .readout")).to_contain_text("Attention: ")
    forward.keyboard.press("Enter")
    forward.wait_for_function("() => sections.get('forward').graph.level === 'operations'")
    forward.keyboard.press("ArrowRight")
    expect(forward.locator("#forward-stepgraph .readout")).to_contain_text("layer0.attention.query, position 0: ")
    forward.keyboard.press("+")
    forward.wait_for_function("() => sections.get('forward').graph.level === 'scalars'")
    assert graph(forward, "graph.boxes[graph.group].title") == "layer0.attention.query, position 0"
    forward.keyboard.press("-")
    forward.wait_for_function("() => sections.get('forward').graph.level === 'operations'")
    assert graph(forward, "graph.origin(graph.row, graph.column).name") == "layer0.attention.query, position 0"
    forward.keyboard.press("0")
    forward.wait_for_function("() => sections.get('forward').graph.level === 'loss'")
    assert forward.evaluate("state.get('reached')") == 5


def test_a_click_goes_into_a_box_and_a_pinch_out_of_it(forward: Page):
    canvas = forward.locator("#forward-stepgraph canvas")
    canvas.scroll_into_view_if_needed()
    box = graph(forward, "graph.box(1, 2)")
    canvas.click(position={"x": box["x"] + 20, "y": box["y"] + 20})
    forward.wait_for_function("() => sections.get('forward').graph.level === 'operations'")
    assert graph(forward, "graph.origin(graph.row, graph.column).name") == "layer0.mlp.norm, position 0"
    canvas.hover()
    forward.keyboard.down("Control")
    forward.mouse.wheel(0, 100)
    forward.keyboard.up("Control")
    forward.wait_for_function("() => sections.get('forward').graph.level === 'modules'")


def test_the_scalars_of_a_group_come_again_when_another_name_is_read(forward: Page):
    forward.evaluate("() => sections.get('forward').graph.goTo('scalars')")
    look_at(forward, name="anna")
    forward.wait_for_function("() => sections.get('forward').graph.layout.summary.text === 'anna'")
    index = forward.evaluate("theRun.weightNames.indexOf('layer0.attn_wq[0][0]')")
    gradient = trace(forward, f"trace.gradients[{index}]")
    forward.wait_for_function(
        "gradient => sections.get('forward').graph.scalars[0].gradient === gradient", arg=gradient
    )


def test_a_scalar_has_its_neighbours_and_their_contributions_add_up_to_its_gradient(forward: Page):
    forward.get_by_role("group", name="Level").get_by_role("button", name="Scalars").click()
    forward.wait_for_function("() => sections.get('forward').graph.scalars.length === 256")  # the matrix of the weight
    forward.locator("#forward-stepgraph .surface").focus()
    forward.keyboard.press("Home")
    forward.keyboard.press("ArrowRight")
    forward.keyboard.press("Enter")
    panel = forward.locator("#forward-scalar")
    expect(panel.locator("h3")).to_contain_text("layer0.attn_wq[0][1] = ")
    index = forward.evaluate("theRun.weightNames.indexOf('layer0.attn_wq[0][1]')")
    gradient = trace(forward, f"trace.gradients[{index}]")
    used = panel.locator("table").last.locator("tbody tr")
    assert used.count() == len(NAME) + 1  # once at each position
    parts = [float(row.locator("td").last.inner_text().replace("−", "-")) for row in used.all()]
    assert sum(parts) == pytest.approx(gradient, abs=1e-4)
    used.first.get_by_role("button").first.click()
    expect(panel.locator("h3")).to_contain_text("inside layer0.attention.query")
    expect(panel).to_be_visible()
    assert graph(forward, "graph.boxes[graph.group].title").startswith("layer0.attention.query, position ")


def test_the_graph_can_be_read_as_a_table(forward: Page):
    forward.get_by_role("group", name="Level").get_by_role("button", name="Operations").click()
    forward.wait_for_function("() => sections.get('forward').graph.level === 'operations'")
    forward.locator('#forward-stepgraph [data-tool="table"]').click()
    rows = forward.locator("#forward-stepgraph .table tbody tr")
    assert rows.count() == graph(forward, "graph.boxes.length")
    query = rows.filter(has=forward.get_by_role("rowheader", name="layer0.attention.query, position 2"))
    flow = graph(forward, "graph.boxes.find(({title}) => title === 'layer0.attention.query, position 2').flow")
    assert float(query.locator("td").nth(1).inner_text().replace("−", "-")) == pytest.approx(flow, abs=1e-7, rel=0.06)
