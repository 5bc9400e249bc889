"""The digit task's examples: right answers, no expression twice, none of the test among those to learn from."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.digits import OPERATIONS, SIZES, TASKS, Example, Task, generate, parse
from glassbox.errors import BadInput

ONE, TWO = TASKS["one-digit"], TASKS["two-digit"]
BOTH = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
SEEDS = st.integers(0, 2**63 - 1)

# What each operation is, in Python's own words.
EXPECTED = {
    "First": lambda numbers: numbers[0],
    "Second": lambda numbers: numbers[1],
    "Last": lambda numbers: next(reversed(numbers)),
    "Max": lambda numbers: sorted(numbers)[-1],
    "Min": lambda numbers: sorted(numbers)[0],
}


def read(text: str) -> tuple[str, list[int]]:
    """An expression's operation and numbers, read by other means than those that wrote it."""
    operation, opening, *inner, closing = text.split(" ")
    assert (opening, closing) == ("(", ")")
    if "," in inner:
        return operation, [int(number.replace(" ", "")) for number in " ".join(inner).split(" , ")]
    return operation, [int(digit) for digit in inner]


@BOTH
@pytest.mark.parametrize("seed", [0, 1])
def test_the_answer_is_what_python_says_of_the_text(task: Task, seed: int):
    split = generate(task, "small", seed)
    for example in split.train + split.test:
        operation, numbers = read(example.text)
        assert operation == example.operation
        assert tuple(numbers) == example.numbers
        assert example.answer == EXPECTED[operation](numbers)
        assert task.shortest <= len(numbers) <= task.longest
        assert 0 <= min(numbers) <= max(numbers) < task.base


@BOTH
@pytest.mark.parametrize("size", SIZES)
def test_no_expression_comes_twice_and_none_of_the_test_is_learned_from(task: Task, size: str):
    split = generate(task, size, 7)
    texts = [example.text for example in split.train + split.test]
    assert len(set(texts)) == len(texts)
    assert (len(split.train), len(split.test)) == SIZES[size]


@BOTH
@pytest.mark.parametrize("size", SIZES)
def test_all_operations_are_as_frequent_and_every_length_occurs(task: Task, size: str):
    for examples in generate(task, size, 3):
        assert set(Counter(example.operation for example in examples).values()) == {len(examples) // 5}
        kinds = Counter((example.operation, len(example.numbers)) for example in examples)
        assert len(kinds) == 5 * (task.longest - task.shortest + 1)


@given(SEEDS, SEEDS)
def test_the_seed_decides(one: int, other: int):
    first = generate(ONE, "small", one)
    assert generate(ONE, "small", one) == first
    assert (generate(ONE, "small", other) == first) == (one == other)


def test_the_order_of_the_examples_mixes_operations():
    operations = [example.operation for example in generate(ONE, "small", 0).train[:50]]
    assert set(operations) == set(OPERATIONS)


@st.composite
def examples(draw: st.DrawFn) -> tuple[Task, Example]:
    task = draw(st.sampled_from([ONE, TWO]))
    operation = draw(st.sampled_from(list(OPERATIONS)))
    number = st.integers(0, task.base - 1)
    numbers = tuple(draw(st.lists(number, min_size=task.shortest, max_size=task.longest)))
    return task, Example(operation, numbers, task.text(operation, numbers))


@given(examples())
def test_what_is_written_is_read_back(drawn: tuple[Task, Example]):
    task, example = drawn
    assert parse(example.text, task) == example


@given(examples())
def test_a_person_may_type_it_as_mathematicians_do(drawn: tuple[Task, Example]):
    task, example = drawn
    typed = f" {example.operation.lower()}({', '.join(map(str, example.numbers))})"
    assert parse(typed, task) == example


@pytest.mark.parametrize(
    ("typed", "task", "complaint"),
    [
        ("Foo ( 1 )", ONE, "There is no operation called 'Foo'"),
        ("( 1 2 )", ONE, "The operation is missing"),
        ("Max ( )", ONE, "There are no numbers in the brackets"),
        ("Max ( )", TWO, "There are no numbers in the brackets"),
        ("Second ( 5 )", ONE, "Second needs two numbers, and 1 came"),
        ("Max ( 5 )", ONE, "There is 1 number in the brackets"),
        ("Max ( 1 2 3 4 5 6 7 )", ONE, "There are 7 numbers in the brackets"),
        ("Max ( 12 3 )", ONE, "The number 12 has 2 digits; 0 to 9 was expected"),
        ("Max ( 123, 4 )", TWO, "The number 123 has 3 digits; 0 to 99 was expected"),
        ("Max ( 1 2 3 , 4 )", TWO, "The number 123 has 3 digits"),
        ("Max ( 1, , 2 )", TWO, "'' is no number from 0 to 99"),
        ("Max ( -1 2 )", ONE, "'-1' is no number from 0 to 9"),
        ("Max ( \N{ARABIC-INDIC DIGIT ONE} 2 )", ONE, "is no number from 0 to 9"),
        ("Max 1 2", ONE, "is no operation with numbers in round brackets"),
        ("Max ( ( 1 2 ) )", ONE, "is no operation with numbers in round brackets"),
        ("", ONE, "is no operation with numbers in round brackets"),
        ("Max ( 1 2 )" * 1000, ONE, "is no operation with numbers in round brackets"),
    ],
)
def test_what_cannot_be_read_is_answered_with_a_form_that_can(typed: str, task: Task, complaint: str):
    with pytest.raises(BadInput) as caught:
        parse(typed, task)
    assert complaint in caught.value.problem
    assert len(str(caught.value)) < 400


def test_an_unknown_size_is_refused_by_name():
    with pytest.raises(BadInput, match="no size called 'huge'") as caught:
        generate(ONE, "huge", 0)
    assert "small, medium, large" in caught.value.remedy
