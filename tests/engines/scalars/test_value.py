"""`Value`: slopes are PyTorch's for any expression, shared numbers add up, depth and repetition do no harm."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.engines.scalars.value import Value, dot, total

Operation = Callable[[Any, Any], Any]


# Each operation in Values and in tensors; where a domain has an edge, both stay away from it in the same way.
BOTH: dict[str, tuple[Operation, Operation]] = {
    **{
        name: (operation, operation)
        for name, operation in {
            "a + b": lambda a, b: a + b,
            "a - b": lambda a, b: a - b,
            "a * b": lambda a, b: a * b,
            "a / b": lambda a, b: a / (b * b + 1),
            "-a": lambda a, b: -a,
            "a + 2": lambda a, b: a + 2,
            "2 + a": lambda a, b: 2 + a,
            "a - 2": lambda a, b: a - 2,
            "2 - a": lambda a, b: 2 - a,
            "a * 3": lambda a, b: a * 3,
            "3 * a": lambda a, b: 3 * a,
            "a / 4": lambda a, b: a / 4,
            "4 / a": lambda a, b: 4 / (a * a + 1),
            "a ** 2": lambda a, b: a**2,
            "a ** 0": lambda a, b: a**0,
            "a ** -0.5": lambda a, b: (a * a + 1) ** -0.5,
            "log a": lambda a, b: (a * a + 0.5).log(),
            "exp a": lambda a, b: (-(a * a)).exp(),
            "tanh a": lambda a, b: a.tanh(),
            "sigmoid a": lambda a, b: a.sigmoid(),
            "erf a": lambda a, b: a.erf(),
            "relu a": lambda a, b: a.relu(),
        }.items()
    },
    "dot": (lambda a, b: dot([a, b, a], [b, b, a]), lambda a, b: a * b + b * b + a * a),
    "total": (lambda a, b: total([a, b, a]), lambda a, b: a + b + a),
}
NUMBERS = st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3)
PROGRAMS = st.lists(st.tuples(st.sampled_from(sorted(BOTH)), st.integers(0, 99), st.integers(0, 99)), max_size=12)


@settings(max_examples=300)
@given(st.lists(NUMBERS, min_size=1, max_size=3), PROGRAMS)
def test_every_number_of_a_random_expression_gets_the_gradient_that_pytorch_gives(
    leaves: list[float], program: list[tuple[str, int, int]]
):
    ours: list[Any] = [Value(number) for number in leaves]
    theirs: list[Any] = [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in leaves]
    for name, i, j in program:
        for values, operation in zip((ours, theirs), BOTH[name], strict=True):
            values.append(operation(values[i % len(values)], values[j % len(values)]))
        theirs[-1].retain_grad()
        if abs(ours[-1].data) > 1e6:  # grown out of the range in which a relative comparison means anything
            break
    ours[-1].backward()
    theirs[-1].backward()
    for our, their in zip(ours, theirs, strict=True):
        expected = 0.0 if their.grad is None else their.grad.item()
        assert our.data == pytest.approx(their.item(), rel=1e-12, abs=1e-12)
        assert our.grad == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_number_that_is_read_twice_gets_both_gradients():
    a, b = Value(2.0), Value(3.0)
    (a * b + a).backward()
    assert (a.grad, b.grad) == (4.0, 2.0)


def test_a_second_backward_adds_to_given_numbers_and_starts_anew_in_computed_ones():
    a, b = Value(2.0), Value(3.0)
    product = a * b
    result = product + a
    result.backward()
    result.backward()
    assert (a.grad, b.grad) == (8.0, 4.0)
    assert (product.grad, result.grad) == (1.0, 1.0)


def test_after_setting_gradients_to_zero_a_second_backward_gives_the_first_ones():
    a, b = Value(2.0), Value(3.0)
    result = (a * b + a).tanh()
    result.backward()
    first = a.grad, b.grad
    a.grad = b.grad = 0.0
    result.backward()
    assert (a.grad, b.grad) == first


def test_two_results_of_one_graph_add_their_gradients_in_what_they_share():
    a = Value(3.0)
    shared = a * a
    (shared * 2).backward()
    (shared * 5).backward()
    assert a.grad == 2 * 6 + 5 * 6


def test_backward_on_a_given_number_counts_it_towards_itself():
    a = Value(3.0)
    a.backward()
    assert a.grad == 1.0


def test_a_chain_of_two_hundred_thousand_operations_needs_no_recursion():
    a = Value(1.0)
    x = a
    for _ in range(200_000):
        x = x + 1.0
    x.backward()
    assert a.grad == 1.0
    assert x.data == 200_001.0
    del x  # freeing it needs none either


def test_a_diamond_of_sixty_floors_is_walked_once_and_not_once_for_each_path():
    a = Value(1.0)
    x = a
    for _ in range(60):
        x = x + x
    x.backward()
    assert a.grad == 2.0**60


@pytest.mark.parametrize("x", [-1000.0, -40.0, 0.0, 40.0, 1000.0])
def test_sigmoid_stays_exact_far_from_zero(x: float):
    value = Value(x)
    result = value.sigmoid()
    result.backward()
    expected = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected.sigmoid().backward()
    assert result.data == pytest.approx(torch.tensor(x, dtype=torch.float64).sigmoid().item(), rel=1e-15)
    assert expected.grad is not None
    assert value.grad == pytest.approx(expected.grad.item(), rel=1e-12, abs=1e-300)


def test_a_graph_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        a = Value(2.0)
        for _ in range(100):
            (a * a + a.exp()).log().backward()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_memory_stays_flat_over_thousands_of_graphs():
    weights = [Value(0.1 * i) for i in range(20)]

    def step() -> None:
        loss = dot(weights, [weight.tanh() for weight in weights])
        loss.backward()
        for weight in weights:
            weight.data -= 0.01 * weight.grad
            weight.grad = 0.0

    for _ in range(100):
        step()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(2_000):
            step()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # bytes; one graph kept alive for each step would be millions


def test_a_value_reads_as_a_number_and_prints_its_gradient():
    value = Value(1.5)
    assert float(value) == value.item() == 1.5
    assert repr(value) == "Value(1.5, grad=0.0)"
    assert math.isclose(sum([Value(0.5), Value(0.25)], Value(0.0)).data, 0.75)
