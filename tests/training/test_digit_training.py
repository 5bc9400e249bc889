"""Learning the digit task: the same numbers in every engine, every example once an epoch, resumed to the bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from glassbox.data.digits import SIZES, TASKS, generate
from glassbox.engines.catalogue import ENGINES, as_array, engine
from glassbox.engines.interface import IGNORED
from glassbox.errors import BadInput
from glassbox.evaluation.digits import accuracy_by_operation, entropy_by_operation
from glassbox.spec import count_parameters, preset
from glassbox.tokenizers.digits import DigitTokenizer
from glassbox.training.digits import RECIPES, DigitTraining, Recipe

PRESETS = {"one-digit": "digits", "two-digit": "two-digits"}
EACH_TASK = pytest.mark.parametrize("task", TASKS)
TINY = Recipe(epochs=2, batch_size=3, learning_rate=3e-3, warmup=0.5)


def training(task: str, name: str, recipe: Recipe = TINY, examples: int = 8) -> DigitTraining:
    """A narrow model in float64 on its way through a few examples."""
    spec = preset(PRESETS[task]).replace(width=8, heads=2, head_width=4, hidden_width=12)
    chosen = engine(name)
    model = chosen.transformer(spec, seed=1, precision="float64")
    return DigitTraining(chosen, model, generate(TASKS[task], "small", 1).train[:examples], recipe, seed=1)


@EACH_TASK
@pytest.mark.parametrize("name", [name for name in ENGINES if name != "tensors"])
def test_every_engine_takes_the_same_steps_as_pytorch(task, name):
    ours, theirs = training(task, name), training(task, "tensors")
    for step, reference in zip(ours.steps(), theirs.steps(), strict=True):
        assert step.batch.examples == reference.batch.examples
        assert len(set(step.batch.lengths.tolist())) > 1  # a batch without padding would prove less
        assert step.loss == pytest.approx(reference.loss, rel=1e-9)
        assert step.gradient_norm == pytest.approx(reference.gradient_norm, rel=1e-9)
        assert step.learning_rate == reference.learning_rate
        np.testing.assert_array_equal(step.predicted, reference.predicted)
    for weight, value in theirs.model.weights().items():
        np.testing.assert_allclose(as_array(ours.model.weights()[weight]), as_array(value), rtol=0, atol=1e-8)


@EACH_TASK
def test_an_epoch_shows_every_example_once_in_an_order_of_its_own(task):
    under_way = training(task, "arrays", examples=50)
    steps = list(under_way.steps())
    half = len(steps) // 2
    assert half == under_way.steps_per_epoch
    orders = [[example for step in some for example in step.batch.examples] for some in (steps[:half], steps[half:])]
    assert Counter(orders[0]) == Counter(orders[1]) == Counter(under_way.examples)
    assert orders[0] != orders[1]


def test_a_model_that_writes_learns_the_answer_and_its_end_and_nothing_else():
    batch = training("two-digit", "arrays").next_batch()
    decode = DigitTokenizer().decode
    for example, tokens, length, targets in zip(
        batch.examples, batch.tokens, batch.lengths, batch.targets, strict=True
    ):
        counts = targets != IGNORED
        assert decode(targets[counts].tolist()) == " ".join([*str(example.answer), "[EOS]"])
        first = int(counts.argmax())
        assert decode(tokens[: first + 1].tolist()) == example.text  # the bracket predicts the first digit
        assert counts[first:length].all()
        assert not counts[length:].any()


def test_a_step_says_how_many_answers_were_wholly_right():
    under_way = training("two-digit", "arrays")
    step = under_way.step()
    decode = DigitTokenizer().decode
    for right, predicted, targets in zip(step.right, step.predicted, step.batch.targets, strict=True):
        counts = targets != IGNORED
        assert right == (decode(predicted[counts].tolist()) == decode(targets[counts].tolist()))


@EACH_TASK
@pytest.mark.parametrize("name", ENGINES)
def test_resumed_training_ends_with_the_same_bits(task, name):
    straight, stopped, resumed = (training(task, name) for _ in range(3))
    losses = [step.loss for step in straight.steps()]
    half = straight.total // 2
    for _ in range(half):
        stopped.step()
    resumed.restore({key: np.array(value) for key, value in stopped.state().items()})
    assert [step.loss for step in resumed.steps()] == losses[half:]
    for weight, value in straight.model.weights().items():
        np.testing.assert_array_equal(as_array(resumed.model.weights()[weight]), as_array(value))


def test_the_state_of_another_model_is_refused():
    state = training("two-digit", "arrays").state()
    with pytest.raises(BadInput):
        training("one-digit", "arrays").restore(state)


def test_training_that_diverges_says_so():
    with pytest.raises(BadInput, match="Training diverged: at step"), np.errstate(all="ignore"):
        list(training("two-digit", "arrays", Recipe(epochs=9, batch_size=3, learning_rate=1e300)).steps())


def test_the_models_are_as_large_as_the_task_asks():
    assert count_parameters(preset("digits")).total == 101_898
    assert set(RECIPES) == {(task, size) for task in TASKS for size in SIZES}
    assert RECIPES["one-digit", "medium"].epochs == 20


def test_a_thousand_examples_are_enough_and_max_and_min_look_at_more_digits():
    chosen = engine("arrays")
    split = generate(TASKS["one-digit"], "small", 0)
    model = chosen.transformer(preset("digits"), seed=0)
    recipe = Recipe(epochs=12, batch_size=32, learning_rate=2e-3)
    before = accuracy_by_operation(model, split.test)
    assert max(before.values()) < 0.4
    for _ in DigitTraining(chosen, model, split.train, recipe, seed=0).steps():
        pass
    after = accuracy_by_operation(model, split.test)
    assert min(after.values()) >= 0.95
    entropy = entropy_by_operation(model, split.test)
    focused = [entropy[operation] for operation in ("First", "Second", "Last")]
    distributed = [entropy[operation] for operation in ("Max", "Min")]
    assert sum(distributed) / 2 > sum(focused) / 3
