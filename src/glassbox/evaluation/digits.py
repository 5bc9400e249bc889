"""What a model makes of the digit task: its answers with their probabilities, how often they are right, and where its
attention goes.

How focused attention is: of all rows of attention in the last layer the answer is made from one, the first token's in a
classifier, which reads nothing else, and the closing bracket's in a model that writes, which predicts the first digit
there. Heads share the work, one looking at this number and one at that, so their rows are averaged first; and a head
that has nothing to do rests on a bracket, so what the digits get is taken alone, as shares a that add up to one. Their
entropy -Σ a·log(a) is 0 where one digit gets everything and log(n) where all n get the same; divided by log(n) it can
be compared between expressions of different lengths. (The mean of each head's own entropy over all tokens would be the
nearer measure, and tells the operations apart less well: four focused heads can still look at four numbers.)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glassbox.data.digits import OPERATIONS, SIZES, TASKS, Example, Task, generate
from glassbox.engines.catalogue import Engine, as_array
from glassbox.engines.interface import Transformer
from glassbox.engines.model_files import load_model
from glassbox.engines.padding import forward, padded
from glassbox.errors import BadInput
from glassbox.tokenizers.digits import END, PADDING, DigitTokenizer, is_digit

STORY_FILE = "training.json"
AT_ONCE = 250  # expressions read together
_TOKENIZER = DigitTokenizer()
_LONGEST_ANSWER = 3  # two digits and the end

Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DigitModel:
    """A model of the digit task, and the examples that it was never shown."""

    model: Transformer
    task: Task
    test: list[Example]


class Answer(NamedTuple):
    """words: as the model gave them, the end included. probabilities: of all choices at each word, (words, choices).

    A classifier gives one word out of ten digits, a model that writes one after the other out of its vocabulary.
    """

    words: list[str]
    probabilities: Probabilities

    @property
    def number(self) -> int | None:
        """None where what was written is no number."""
        digits = "".join(self.words[:-1] if self.words[-1] == "[EOS]" else self.words)
        return int(digits) if digits.isdecimal() else None


def load_digit_model(folder: Path, engine: Engine) -> DigitModel:
    """What `glassbox digits train` saved. Raises BadInput when the folder holds another model."""
    try:
        settings = json.loads((folder / STORY_FILE).read_text(encoding="utf-8"))["settings"]
        task, size, seed = TASKS[settings["task"]], settings["size"], int(settings["seed"])
        if size not in SIZES:
            raise KeyError(size)
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            f"The model in {folder} has not learned the digit task.", "Train one that has: glassbox digits train."
        ) from None
    return DigitModel(load_model(folder, engine), task, generate(task, size, seed).test)


def answers(model: Transformer, examples: Sequence[Example]) -> list[Answer]:
    """The likeliest answer to each expression."""
    answer = _classified if model.spec.head == "classes" else _written
    return [one for some in _portions(examples) for one in answer(model, some)]


def accuracy_by_operation(model: Transformer, examples: Sequence[Example]) -> dict[str, float]:
    """The share of each operation's examples whose whole answer is right; operations without examples are left out."""
    right: dict[str, list[bool]] = {operation: [] for operation in OPERATIONS}
    for example, answer in zip(examples, answers(model, examples), strict=True):
        right[example.operation].append(answer.number == example.answer)
    return {operation: sum(found) / len(found) for operation, found in right.items() if found}


def attention(model: Transformer, example: Example) -> Probabilities:
    """(layers, heads, length, length): a row for the token that looks, a column for the one that it looks at."""
    tokens, lengths = padded([_TOKENIZER.encode(example.text)], PADDING)
    _, details = forward(model, tokens, lengths, keep=["blocks.*.attention.weights"])
    return np.stack(
        [as_array(details.values[f"blocks.{layer}.attention.weights"])[0] for layer in range(model.spec.layers)]
    )


def answering_row(model: Transformer, length: int) -> int:
    """Which token's attention the answer is made from."""
    return 0 if model.spec.head == "classes" else length - 1


def entropy_by_operation(model: Transformer, examples: Sequence[Example]) -> dict[str, float]:
    """How attention is spread, 0 (focused) to 1 (distributed), the mean over each operation's examples; see above."""
    name = f"blocks.{model.spec.layers - 1}.attention.weights"
    found: dict[str, list[float]] = {operation: [] for operation in OPERATIONS}
    for some in _portions(examples):
        tokens, lengths = padded([_TOKENIZER.encode(example.text) for example in some], PADDING)
        _, details = forward(model, tokens, lengths, keep=[name])
        rows = zip(some, tokens, lengths.tolist(), as_array(details.values[name]), strict=True)
        for example, ids, length, weights in rows:
            looks = weights[:, answering_row(model, length)].mean(0)  # (length,)
            found[example.operation].append(normalized_entropy(looks[is_digit(ids)]))
    return {operation: sum(one) / len(one) for operation, one in found.items() if one}


def normalized_entropy(weights: Probabilities) -> float:
    """-Σ a·log(a) / log(n) of the n shares a that the weights, (n,), have of their sum; n is at least 2."""
    shares = weights.astype(np.float64) / weights.sum()
    shares = shares[shares > 0]  # of 0·log(0) comes nothing
    return float(-(shares * np.log(shares)).sum() / math.log(len(weights)))


def _classified(model: Transformer, examples: Sequence[Example]) -> list[Answer]:
    tokens, lengths = padded([_TOKENIZER.encode(example.text) for example in examples], PADDING)
    logits, _ = forward(model, tokens, lengths)
    probabilities = _softmax(as_array(logits))  # (batch, classes)
    return [Answer([str(row.argmax())], row[None]) for row in probabilities]


def _written(model: Transformer, examples: Sequence[Example]) -> list[Answer]:
    """Greedily, all expressions side by side, until each has its end."""
    rows = [_TOKENIZER.encode(example.text) for example in examples]
    words: list[list[int]] = [[] for _ in rows]
    probabilities: list[list[Probabilities]] = [[] for _ in rows]
    going = range(len(rows))
    for _ in range(_LONGEST_ANSWER):
        tokens, lengths = padded([rows[place] + words[place] for place in going], PADDING)
        logits = as_array(forward(model, tokens, lengths)[0])
        last = _softmax(logits[np.arange(len(tokens)), lengths - 1])  # (batch, vocabulary)
        for place, row in zip(going, last, strict=True):
            words[place].append(int(row.argmax()))
            probabilities[place].append(row)
        going = [place for place in going if words[place][-1] != END]
        if not going:
            break
    spelled = [[_TOKENIZER.decode([word]) for word in one] for one in words]
    return [Answer(*one) for one in zip(spelled, map(np.stack, probabilities), strict=True)]


def _portions(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), AT_ONCE):
        yield examples[start : start + AT_ONCE]


def _softmax(logits: Probabilities) -> Probabilities:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
