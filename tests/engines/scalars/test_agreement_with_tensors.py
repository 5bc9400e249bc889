"""The scalars engine computes PyTorch's numbers, to 1e-9 in float64, whatever the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lists.drawn import assert_same_step, assert_same_training, batches, specs

from glassbox.engines import scalars
from glassbox.engines.scalars import optimizer

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30)
@given(st.data(), specs(), SEEDS)
def test_any_decoder_and_encoder_gives_the_same_logits_loss_values_and_gradients(data: Any, spec: Any, seed: int):
    assert_same_step(scalars, spec, data.draw(batches(spec)), seed)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@settings(max_examples=6)
@given(st.data(), specs(), SEEDS)
def test_three_steps_of_training_give_the_same_weights(name: str, data: Any, spec: Any, seed: int):
    assert_same_training(scalars, optimizer, name, spec, data.draw(batches(spec)), seed)
