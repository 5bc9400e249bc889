"""Expressions typed into the guide: Python's precedence, the chain rule, and clear words for what is wrong."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

Engine = Callable[..., Any]

INPUTS = {"a": 2.0, "b": -3.0, "c": 0.5}
EVALUATE = """
const evaluated = evaluate(parseExpression(input.text), input.inputs);
return { nodes: evaluated.nodes, output: evaluated.output, backward: backwardTrace(evaluated) };
"""
PYTHON = {"relu": lambda x: max(0.0, x), "exp": math.exp, "log": math.log, "__builtins__": {}}


def python(text: str, inputs: dict[str, float]) -> float:
    return eval(text, PYTHON, dict(inputs))  # noqa: S307  (the text is this file's own)


leaves = st.sampled_from(["a", "b", "c", "2", "0.5", "3."])
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", "*", " / "]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        inner.map(lambda text: f"relu({text})"),
        inner.map(lambda text: f"exp({text})"),
        st.tuples(inner, st.sampled_from([" ** 2", "**-1", "**0.5", " ** 2 ** 2"])).map(lambda t: f"({t[0]}){t[1]}"),
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(text=expressions)
def test_any_expression_has_python_s_value_and_slopes_that_nudging_confirms(
    engine: Engine, refusal: type[Exception], text: str
):
    try:
        expected = python(text, INPUTS)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError):  # TypeError: a complex number on the way
        assume(False)
        return
    assume(isinstance(expected, int | float) and abs(expected) < 1e6)
    assume(len(text) <= 200)
    try:
        found = engine(EVALUATE, text=text, inputs=INPUTS)
    except refusal:  # a slope that is infinite, or a root of a negative number on the way
        assume(False)
        return
    assert found["nodes"][found["output"]]["data"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    for node in found["nodes"]:
        if node["label"] in INPUTS:
            name, step = node["label"], 1e-6
            try:
                above = python(text, {**INPUTS, name: INPUTS[name] + step})
                below = python(text, {**INPUTS, name: INPUTS[name] - step})
            except (ZeroDivisionError, OverflowError, ValueError, TypeError):
                continue
            if not isinstance(above, float) or not isinstance(below, float) or "relu" in text:
                continue  # at relu's corner the two sides differ: it has tests of its own
            slope = (above - below) / (2 * step)
            assert node["gradient"] == pytest.approx(slope, rel=1e-4, abs=1e-4 * (1 + abs(expected)))


@pytest.mark.parametrize(
    ("text", "value", "gradients"),
    [
        ("relu(a*b + 10) ** 2", 16.0, {"a": -24.0, "b": 16.0}),
        ("relu(a*b)", 0.0, {"a": 0.0, "b": 0.0}),
        ("-a ** 2", -4.0, {"a": -4.0}),  # the power binds before the sign
        ("2 ** 3 ** 2", 512.0, {}),  # and to the right
        ("a ** -2", 0.25, {"a": -0.25}),
        ("a - b - c", 4.5, {"a": 1.0, "b": -1.0, "c": -1.0}),
        ("a / b / c", 2 / -3 / 0.5, {"a": 1 / -1.5}),
        ("a * a * a", 8.0, {"a": 12.0}),
        ("log(a) + exp(log(a))", math.log(2) + 2, {"a": 1.5}),
        ("+a", 2.0, {"a": 1.0}),
        ("1e2 * a", 200.0, {"a": 100.0}),
        ("(" * 99 + "a" + ")" * 99, 2.0, {"a": 1.0}),
        ("-" * 199 + "a", -2.0, {"a": -1.0}),
    ],
)
def test_expressions_have_the_values_and_gradients_that_mathematics_gives(
    engine: Engine, text: str, value: float, gradients: dict[str, float]
):
    found = engine(EVALUATE, text=text, inputs=INPUTS)
    assert found["nodes"][found["output"]]["data"] == pytest.approx(value)
    for node in found["nodes"]:
        if node["label"] in gradients:
            assert node["gradient"] == pytest.approx(gradients[node["label"]])


def test_the_slow_chain_rule_ends_with_the_gradients_of_the_quick_one(engine: Engine):
    found = engine(EVALUATE, text="relu(a*b + 10) ** 2 / a - exp(c*a)", inputs=INPUTS)
    assert found["backward"][0]["id"] == found["output"]
    finished: set[int] = set()
    totals = {found["output"]: 1.0}
    for visit in found["backward"]:
        assert visit["gradient"] == totals[visit["id"]] == found["nodes"][visit["id"]]["gradient"]
        finished.add(visit["id"])
        for contribution in visit["contributions"]:
            assert contribution["parent"] not in finished  # nobody is handed anything after its turn
            assert contribution["contribution"] == contribution["slope"] * visit["gradient"]
            totals[contribution["parent"]] = contribution["total"]
    assert finished == set(range(len(found["nodes"])))


def test_names_are_found_once_and_in_order(engine: Engine):
    assert engine("return namesIn(parseExpression('b*a + relu(b) - x1'))") == ["a", "b", "x1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no expression"),
        ("   ", "no expression"),
        ("a +", "the expression ends where a number"),
        ("(a", "the expression ends where a closing bracket"),
        ("a)", "there is “\\)” at place 2"),
        ("a b", "there is “b” at place 3"),
        ("a $ b", "“\\$” at place 3 has no meaning"),
        ("a ** b", "exponent after place 4 is not a plain number"),
        ("sin(a)", "no function sin \\(place 1\\)"),
        ("relu", "the bracket of relu"),
        ("a / (b + 3)", "At place 3 something is divided by 0"),
        ("log(b)", "At place 1 log is asked of -3"),
        ("exp(exp(exp(9)))", "no finite number"),
        ("(a - 2) ** 0.5", "no finite number"),
        ("b ** 0.5", "no finite number"),
        ("d + 1", "d \\(place 1\\) has no number"),
        ("constructor", "constructor \\(place 1\\) has no number"),
        ("a+" * 150 + "a", "301 characters"),
        ("1e999", "no finite number"),
        ("a ** 2 ** 9999", "no finite number"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(engine: Engine, refusal: type[Exception], text: str, says: str):
    with pytest.raises(refusal, match=says):
        engine(EVALUATE, text=text, inputs=INPUTS)


def test_the_place_of_a_fault_comes_with_its_words(engine: Engine):
    program = """
    const placeOf = (text) => {
      try {
        evaluate(parseExpression(text), { a: 0 });
      } catch (error) {
        return error.place;
      }
    };
    return ["a + $", "a * (2 + ", "1 / a", "3 * log(a)", "a + b"].map(placeOf);
    """
    assert engine(program) == [5, 10, 3, 5, 5]


@settings(max_examples=150)
@given(text=st.text(alphabet="ab(2.)+-*/ relu", max_size=25))
def test_whatever_is_typed_is_evaluated_or_refused_and_never_fails(engine: Engine, refusal: type[Exception], text: str):
    with contextlib.suppress(refusal):
        assert engine(EVALUATE, text=text, inputs=INPUTS)["nodes"]
