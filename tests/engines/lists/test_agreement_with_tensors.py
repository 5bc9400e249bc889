"""The lists engine computes PyTorch's numbers, to 1e-9 in float64, whatever the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.engines import lists
from glassbox.engines.lists import optimizer
from lists.drawn import assert_same_step, assert_same_training, batches, specs

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(st.data(), specs(), SEEDS)
def test_any_decoder_and_encoder_gives_the_same_logits_loss_values_and_gradients(data: Any, spec: Any, seed: int):
    assert_same_step(lists, spec, data.draw(batches(spec)), seed)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@settings(max_examples=12)
@given(st.data(), specs(), SEEDS)
def test_three_steps_of_training_give_the_same_weights(name: str, data: Any, spec: Any, seed: int):
    assert_same_training(lists, optimizer, name, spec, data.draw(batches(spec)), seed)
