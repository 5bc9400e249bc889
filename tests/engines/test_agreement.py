"""Every engine computes PyTorch's numbers in float64, whatever the model: logits, loss, every intermediate value, every
gradient, every weight after three steps.

What "agree to 1e-9" means here is written at `lists.drawn.assert_agree`: of a whole array, the largest distance is
below 1e-9 of the largest number; where mathematics says zero and engines say rounding, below a floor as small.

An engine joins by its name in `ENGINES`, with how many models of each test are drawn for it.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lists.drawn import assert_same_step, assert_same_training, batches, reference, specs, weights_of

from glassbox.engines import arrays

ENGINES = {"arrays": 100, "lists": 8, "scalars": 4}
SEEDS = st.integers(0, 2**32 - 1)


def engine(name: str) -> Any:
    """An engine's module, its models in float64."""
    if name == "arrays":
        return SimpleNamespace(Transformer=partial(arrays.Transformer, dtype=np.float64))
    return import_module(f"glassbox.engines.{name}")


@pytest.mark.parametrize("name", ENGINES)
def test_any_model_gives_the_same_logits_loss_values_and_gradients(name: str):
    @settings(max_examples=ENGINES[name])
    @given(st.data(), specs(), SEEDS)
    def agrees(data: Any, spec: Any, seed: int) -> None:
        assert_same_step(engine(name), spec, data.draw(batches(spec)), seed)

    agrees()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("name", ENGINES)
def test_three_steps_of_training_give_the_same_weights(name: str, optimizer: str):
    @settings(max_examples=max(2, ENGINES[name] // 4))
    @given(st.data(), specs(), SEEDS)
    def agrees(data: Any, spec: Any, seed: int) -> None:
        optimizers = import_module(f"glassbox.engines.{name}.optimizer")
        assert_same_training(engine(name), optimizers, optimizer, spec, data.draw(batches(spec)), seed)

    agrees()


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=5)
@given(spec=specs(), seed=SEEDS)
def test_weights_move_to_pytorch_and_back(name: str, spec: Any, seed: int):
    weights = weights_of(spec, seed)
    first = reference(spec, weights)
    there = engine(name).Transformer(spec, weights=first.weights())
    back = reference(spec, {weight: np.array(numbers, np.float64) for weight, numbers in there.weights().items()})
    assert list(there.weights()) == list(back.weights()) == list(weights)
    for weight, drawn in weights.items():
        np.testing.assert_array_equal(back.weights()[weight].numpy(), drawn)
