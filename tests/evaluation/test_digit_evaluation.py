"""Answers, their probabilities, and attention, of models of the digit task that have learned nothing yet."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.digits import OPERATIONS, TASKS, generate
from glassbox.engines.catalogue import ENGINES, as_array, engine
from glassbox.engines.model_files import save_model
from glassbox.engines.padding import forward, padded
from glassbox.errors import BadInput
from glassbox.evaluation import digits
from glassbox.evaluation.digits import (
    Answer,
    accuracy_by_operation,
    answering_row,
    answers,
    attention,
    entropy_by_operation,
    load_digit_model,
    normalized_entropy,
)
from glassbox.spec import preset
from glassbox.tokenizers.digits import PADDING, DigitTokenizer, is_digit

PRESETS = {"one-digit": "digits", "two-digit": "two-digits"}
EACH_TASK = pytest.mark.parametrize("task", TASKS)


def fresh(task: str, name: str = "arrays", width: int = 16) -> Any:
    spec = preset(PRESETS[task]).replace(width=width, heads=2, head_width=width // 2, hidden_width=16)
    return engine(name).transformer(spec, seed=4, precision="float64")


def test_what_is_written_is_what_greedy_generation_writes():
    model, tokenizer = fresh("two-digit"), DigitTokenizer()
    for example in generate(TASKS["two-digit"], "small", 0).test[:20]:
        prompt = tokenizer.encode(example.text)
        [answer] = answers(model, [example])
        generated = model.generate(prompt, len(answer.words))[len(prompt) :]
        assert [tokenizer.decode([token]) for token in generated] == answer.words
        assert answer.words[-1] == "[EOS]" or len(answer.words) == 3


@EACH_TASK
def test_answers_side_by_side_are_those_given_alone(task, monkeypatch):
    monkeypatch.setattr(digits, "AT_ONCE", 7)
    model, examples = fresh(task), generate(TASKS[task], "small", 0).test[:20]
    for example, answer in zip(examples, answers(model, examples), strict=True):
        [alone] = answers(model, [example])
        assert alone.words == answer.words
        np.testing.assert_allclose(alone.probabilities, answer.probabilities, rtol=0, atol=1e-12)
        assert len(answer.probabilities) == len(answer.words)
        np.testing.assert_allclose(answer.probabilities.sum(-1), 1)


@EACH_TASK
def test_every_engine_gives_the_same_answers(task):
    examples = generate(TASKS[task], "small", 0).test[:4]
    first, *others = [answers(fresh(task, name, width=8), examples) for name in ENGINES]
    for other in others:
        for one, same in zip(first, other, strict=True):
            assert one.words == same.words
            np.testing.assert_allclose(one.probabilities, same.probabilities, rtol=1e-9)


def test_accuracy_counts_whole_answers(monkeypatch):
    examples = generate(TASKS["two-digit"], "small", 0).test[:200]

    def right_but_for_max(_: Any, asked: Any) -> list[Answer]:
        return [
            Answer([*("0" if example.operation == "Max" else str(example.answer)), "[EOS]"], np.ones((1, 20)))
            for example in asked
        ]

    monkeypatch.setattr(digits, "answers", right_but_for_max)
    zeros = [example.answer == 0 for example in examples if example.operation == "Max"]
    assert accuracy_by_operation(fresh("two-digit"), examples) == {
        operation: sum(zeros) / len(zeros) if operation == "Max" else 1.0 for operation in OPERATIONS
    }


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (["7", "[EOS]"], 7),
        (["4", "2", "[EOS]"], 42),
        (["4", "2", "1"], 421),
        (["9"], 9),
        (["[EOS]"], None),
        (["Max", "[EOS]"], None),
        (["4", "[EOS]", "2"], None),
    ],
)
def test_an_answer_is_a_number_if_digits_and_nothing_else_were_written(words, number):
    assert Answer(words, np.ones((len(words), 20))).number == number


@EACH_TASK
def test_attention_adds_up_to_one_over_the_tokens_that_may_be_seen(task):
    model = fresh(task)
    examples = generate(TASKS[task], "small", 0).test[:6]
    for example in examples:
        weights = attention(model, example)
        length = len(example.text.split())
        assert weights.shape == (2, 2, length, length)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-12)
    # In a batch with longer ones, padding gets nothing.
    tokens, lengths = padded([DigitTokenizer().encode(example.text) for example in examples], PADDING)
    _, details = forward(model, tokens, lengths, keep=["blocks.1.attention.weights"])
    for weights, length, example in zip(
        as_array(details.values["blocks.1.attention.weights"]), lengths, examples, strict=True
    ):
        assert not weights[:, :length, length:].any()
        np.testing.assert_allclose(weights[:, :length, :length], attention(model, example)[1], rtol=0, atol=1e-12)


def test_the_answer_is_made_from_the_first_token_of_a_classifier_and_the_bracket_of_a_writer():
    example = generate(TASKS["two-digit"], "small", 0).test[0]
    tokens = example.text.split()
    assert tokens[answering_row(fresh("one-digit"), len(tokens))] == example.operation
    assert tokens[answering_row(fresh("two-digit"), len(tokens))] == ")"


def test_entropy_is_zero_for_one_digit_and_one_for_all_alike():
    assert normalized_entropy(np.array([0.0, 0.3, 0.0])) == 0.0
    assert normalized_entropy(np.array([0.2, 0.2, 0.2, 0.2])) == pytest.approx(1.0)
    assert normalized_entropy(np.array([0.5, 0.5, 0.0, 0.0])) == pytest.approx(math.log(2) / math.log(4))


@given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=8), st.floats(0.1, 10))
def test_entropy_lies_between_and_knows_neither_order_nor_scale(weights, factor):
    entropy = normalized_entropy(np.array(weights))
    assert -1e-12 <= entropy <= 1 + 1e-12
    assert normalized_entropy(factor * np.array(weights[::-1])) == pytest.approx(entropy, abs=1e-9)


@EACH_TASK
def test_the_entropy_of_an_operation_is_the_mean_over_its_examples(task):
    model, examples = fresh(task), generate(TASKS[task], "small", 0).test[:40]
    found = entropy_by_operation(model, examples)
    for operation in OPERATIONS:
        alone = []
        for example in examples:
            if example.operation == operation:
                ids = np.array(DigitTokenizer().encode(example.text))
                row = attention(model, example)[-1].mean(0)[answering_row(model, len(ids))]
                alone.append(normalized_entropy(row[is_digit(ids)]))
        assert found[operation] == pytest.approx(sum(alone) / len(alone))


def save(folder: Path, **settings: Any) -> None:
    save_model(fresh("one-digit"), folder)
    story = {"settings": {"task": "one-digit", "size": "small", "seed": 3} | settings}
    (folder / "training.json").write_text(json.dumps(story))


def test_a_loaded_model_brings_the_examples_that_it_was_never_shown(tmp_path: Path):
    save(tmp_path)
    loaded = load_digit_model(tmp_path, engine("lists"))
    assert loaded.test == generate(TASKS["one-digit"], "small", 3).test
    assert answers(loaded.model, loaded.test[:3])[0].words == answers(fresh("one-digit"), loaded.test[:3])[0].words


@pytest.mark.parametrize("settings", [{"task": "chess"}, {"size": "huge"}, {"seed": "none"}, {"task": None}])
def test_a_model_of_anything_else_is_refused(tmp_path: Path, settings: dict[str, Any]):
    save(tmp_path, **settings)
    with pytest.raises(BadInput, match="has not learned the digit task"):
        load_digit_model(tmp_path, engine("arrays"))
    (tmp_path / "training.json").unlink()
    with pytest.raises(BadInput, match="has not learned the digit task") as caught:
        load_digit_model(tmp_path, engine("arrays"))
    assert "glassbox digits train" in caught.value.remedy
