"""The graph of a whole step in the guide: gathered, taken apart, and the path of one weight's gradient through it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from glassbox import microgpt

Engine = Callable[..., Any]


@pytest.fixture(scope="module")
def graphed(engine: Engine) -> Engine:
    """The engine, with a run of two layers and five steps kept as `kept.run`."""
    names = ["emma", "olivia", "ava", "isabella", "sophia"]
    program = "kept.run = new Run(input); for (let i = 0; i < 5; i++) kept.run.step();"
    engine(program, names=names, layers=2, width=4, heads=2)
    return engine


def test_every_value_of_the_graph_belongs_to_exactly_one_group(graphed: Engine):
    graph = graphed("return kept.run.stepGraph('olivia')")
    assert graph["nodes"] == graphed("return kept.run.trace('olivia').nodes")
    assert sum(group["values"] for group in graph["groups"]) == graph["nodes"]
    program = """
    const { groups } = kept.run.stepGraph("olivia");
    return groups.flatMap(({ id }) => kept.run.scalars(id, "olivia").map((scalar) => scalar.id));
    """
    assert sorted(graphed(program)) == list(range(graph["nodes"]))


def values_in_python(name: str) -> int:
    """How many values microgpt.py makes for the loss of a name, in a vocabulary of a to z."""
    characters, bos = microgpt.build_vocabulary(["abcdefghijklmnopqrstuvwxyz"])
    matrices = microgpt.build_parameters(bos + 1, layers=1, width=16, context=16)
    loss = microgpt.name_loss(microgpt.tokenize(name, characters, bos), matrices, layers=1, heads=4, context=16)
    seen: set[Any] = set()
    stack: list[Any] = [loss]
    while stack:
        value = stack.pop()
        if value not in seen:
            seen.add(value)
            stack.extend(value.parents)
    return len(seen)


@pytest.mark.parametrize("name", ["ava", "abcdefghijklmnop"])
def test_the_graph_has_as_many_values_as_python_s(engine: Engine, name: str):
    program = "return new Run({ names: ['abcdefghijklmnopqrstuvwxyz'] }).stepGraph(input.name).nodes;"
    assert engine(program, name=name) == values_in_python(name)


def test_edges_lead_from_earlier_groups_to_later_ones_and_match_the_operations(graphed: Engine):
    graph = graphed("return kept.run.stepGraph('ava')")
    operations = {operation["id"]: operation for operation in graphed("return kept.run.operations()")}
    groups = graph["groups"]
    for edge in graph["edges"]:
        earlier, later = groups[edge["from"]], groups[edge["to"]]
        assert edge["from"] < edge["to"]
        assert edge["lines"] > 0
        inputs, matrix = operations[later["operation"]]["inputs"], operations[later["operation"]]["matrix"]
        if later["operation"] == "embedding":
            inputs = ["wte", "wpe"]
        assert earlier["operation"] in [*inputs, matrix]


def test_a_scalar_s_gradient_is_the_sum_of_what_its_children_hand_it(graphed: Engine):
    program = """
    const ids = kept.run.stepGraph("ava").groups.filter((group) => group.values > 0).map(({ id }) => id);
    return ids.slice(0, 60).map((id) => kept.run.scalarNeighbours(kept.run.scalars(id, "ava")[0].id, "ava"));
    """
    for found in graphed(program):
        scalar = found["scalar"]
        if found["children"]:
            assert sum(child["contribution"] for child in found["children"]) == pytest.approx(scalar["gradient"])
        for parent in found["parents"]:
            assert parent["contribution"] == parent["slope"] * scalar["gradient"]
            assert parent["id"] < scalar["id"]


def test_results_have_the_numbers_and_names_of_the_trace(graphed: Engine):
    program = """
    const group = kept.run.stepGraph("ava").groups.find((g) => g.operation === "layer1.mlp.relu" && g.position === 2);
    const results = kept.run.scalars(group.id, "ava").filter((scalar) => scalar.result !== null);
    return { results, relu: kept.run.trace("ava").values["layer1.mlp.relu"] };
    """
    found = graphed(program)
    assert len(found["results"]) == 16
    for scalar in found["results"]:
        assert scalar["name"] == f"layer1.mlp.relu[2][{scalar['result']}]"
        assert scalar["data"] == found["relu"]["data"][2 * 16 + scalar["result"]]
        assert scalar["gradient"] == found["relu"]["gradient"][2 * 16 + scalar["result"]]


@pytest.mark.parametrize(
    "weight", ["layer0.attn_wq[1][2]", "layer1.attn_wk[3][0]", "wpe[1][1]", "layer0.mlp_fc1[5][3]"]
)
def test_the_parts_of_a_gradient_add_up_wherever_all_of_it_must_pass(graphed: Engine, weight: str):
    path = graphed("return kept.run.gradientPath(input.weight, 'olivia')", weight=weight)
    groups = graphed("return kept.run.stepGraph('olivia').groups")
    index = graphed("return kept.run.weightNames.indexOf(input.weight)", weight=weight)
    assert path["gradient"] == graphed("return kept.run.trace('olivia').gradients[input.index]", index=index)
    flows: dict[str, float] = defaultdict(float)
    for part in path["groups"]:
        flows[groups[part["group"]]["operation"]] += part["flow"]
    for narrows in ("layer1.mlp.residual", "logits", "losses", "loss"):
        assert flows[narrows] == pytest.approx(path["gradient"], rel=1e-9)
    into_loss = sum(edge["flow"] for edge in path["edges"] if groups[edge["to"]]["operation"] == "loss")
    assert into_loss == pytest.approx(path["gradient"], rel=1e-9)


def test_a_weight_that_the_text_does_not_use_has_no_path(graphed: Engine):
    path = graphed("return kept.run.gradientPath(`wte[${kept.run.characters.indexOf('o')}][0]`, 'emma')")
    assert (path["gradient"], path["groups"], path["edges"]) == (0, [], [])
