"""The digit task: pick one of a few numbers, the first, the second, the last, the largest or the smallest.

    one digit    Max ( 5 3 9 )              →  9        a class out of ten
    two digits   Max ( 1 2 , 7 , 9 9 )      →  9 9      written out, digit by digit

Small enough to be learned in seconds, and hard enough to need attention: First, Second and Last look at one place, Max
and Min have to compare all of them. Examples differ in length, so that a batch needs padding and a mask.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from glassbox.errors import BadInput

OPERATIONS: Mapping[str, Callable[[Sequence[int]], int]] = {
    "First": lambda numbers: numbers[0],
    "Second": lambda numbers: numbers[1],
    "Last": lambda numbers: numbers[-1],
    "Max": max,
    "Min": min,
}


@dataclass(frozen=True)
class Task:
    """numbers run from 0 to `base` - 1, and an expression has from `shortest` to `longest` of them."""

    name: str
    base: int
    shortest: int
    longest: int
    separator: str

    def text(self, operation: str, numbers: Sequence[int]) -> str:
        """The expression as the tokenizer reads it: every digit, bracket and comma a word of its own."""
        return f"{operation} ( {self.separator.join(' '.join(str(number)) for number in numbers)} )"


TASKS: Mapping[str, Task] = {
    "one-digit": Task("one-digit", base=10, shortest=2, longest=6, separator=" "),
    "two-digit": Task("two-digit", base=100, shortest=2, longest=5, separator=" , "),
}


class Example(NamedTuple):
    operation: str
    numbers: tuple[int, ...]
    text: str

    @property
    def answer(self) -> int:
        return OPERATIONS[self.operation](self.numbers)


class Split(NamedTuple):
    """Examples to learn from, and others, none of which is among the first, to measure on."""

    train: list[Example]
    test: list[Example]


SIZES: Mapping[str, tuple[int, int]] = {
    "small": (1_000, 500),
    "medium": (10_000, 2_000),
    "large": (50_000, 10_000),
}
"""How many examples there are to learn from and to measure on."""


def generate(task: Task, size: str, seed: int) -> Split:
    """Examples of all operations alike and of all lengths alike, no expression twice; the same ones for the same seed.

    There are 500 expressions of two single digits: where those of one length run out, the longer ones fill up.
    """
    if size not in SIZES:
        raise BadInput(f"There is no size called {size!r}.", f"Choose one of {', '.join(SIZES)}.")
    train_count, test_count = SIZES[size]
    train: list[Example] = []
    test: list[Example] = []
    for operation in OPERATIONS:
        left, left_for_test = (train_count + test_count) // len(OPERATIONS), test_count // len(OPERATIONS)
        for length in range(task.shortest, task.longest + 1):
            expressions = task.base**length
            count = min(expressions, left // (task.longest - length + 1))
            held_out = round(left_for_test * count / left)
            left, left_for_test = left - count, left_for_test - held_out
            chosen = random.Random(f"{task.name}/{seed}/{operation}/{length}").sample(range(expressions), count)
            examples = [_example(task, operation, _numbers(code, length, task.base)) for code in chosen]
            test += examples[:held_out]
            train += examples[held_out:]
    for name, examples in (("train", train), ("test", test)):
        random.Random(f"{task.name}/{seed}/{name}").shuffle(examples)
    return Split(train, test)


def parse(text: str, task: Task) -> Example:
    """The example that a person typed: `max(5, 3, 9)` is as good as `Max ( 5 3 9 )`. Raises BadInput."""
    form = f"Write it like this: {task.text('Max', (5, 3, 9) if task.base == 10 else (12, 7, 99))}"
    matched = re.fullmatch(r"\s*([A-Za-z]*)\s*\(([^()]*)\)\s*", text)
    if matched is None:
        raise BadInput(f"{text[:60]!a} is no operation with numbers in round brackets.", f"{form}.")
    operation = matched[1].capitalize()
    if operation not in OPERATIONS:
        raise BadInput(
            f"There is no operation called {matched[1]!r}." if matched[1] else "The operation is missing.",
            f"Use one of {', '.join(OPERATIONS)}.",
        )
    numbers = _typed_numbers(matched[2], task, form)
    if operation == "Second" and len(numbers) < 2:
        raise BadInput(f"Second needs two numbers, and {len(numbers)} came.", f"{form}.")
    if not task.shortest <= len(numbers) <= task.longest:
        raise BadInput(
            f"There {'is' if len(numbers) == 1 else 'are'} {len(numbers) or 'no'} number"
            f"{'' if len(numbers) == 1 else 's'} in the brackets, and the model has learned from {task.shortest} to "
            f"{task.longest}.",
            f"Give {task.shortest} to {task.longest} of them. {form}.",
        )
    return _example(task, operation, numbers)


def _typed_numbers(text: str, task: Task, form: str) -> tuple[int, ...]:
    if task.base == 10:
        words = text.replace(",", " ").split()
    else:
        words = ["".join(word.split()) for word in text.split(",")] if text.strip() else []
    largest = task.base - 1
    for word in words:
        if not (word.isascii() and word.isdigit()):
            raise BadInput(f"{word[:40]!a} is no number from 0 to {largest}.", f"{form}.")
        if len(word) > len(str(largest)):
            raise BadInput(f"The number {word[:40]} has {len(word)} digits; 0 to {largest} was expected.", f"{form}.")
    return tuple(map(int, words))


def _example(task: Task, operation: str, numbers: tuple[int, ...]) -> Example:
    return Example(operation, numbers, task.text(operation, numbers))


def _numbers(code: int, length: int, base: int) -> tuple[int, ...]:
    """The digits of `code` in a system of this base: every sequence of so many numbers has a code of its own."""
    numbers: list[int] = []
    for _ in range(length):
        code, number = divmod(code, base)
        numbers.append(number)
    return tuple(numbers)
