from __future__ import annotations

import pytest
import torch
from drawn_specs import model_of, tokens_of

from glassbox.errors import BadInput
from glassbox.insight import patch_activations
from glassbox.spec import ModelSpec

SPEC = ModelSpec(vocabulary_size=11, context=10, width=12, layers=3, heads=3, initial_std=0.4)
LENGTH, CHANGED = 6, 2


@pytest.fixture
def model():
    return model_of(SPEC)


@pytest.fixture
def clean() -> torch.Tensor:
    return tokens_of(SPEC, 1, LENGTH, seed=3)


@pytest.fixture
def corrupted(clean: torch.Tensor) -> torch.Tensor:
    other = clean.clone()
    other[0, CHANGED] = (other[0, CHANGED] + 1) % SPEC.vocabulary_size
    return other


def test_the_stream_carries_the_difference_from_the_changed_place_to_the_last_one(model, clean, corrupted):
    found = patch_activations(model, clean, corrupted, answer=1, foil=2)
    assert found.names == [f"blocks.{layer}.residual" for layer in range(3)]
    assert found.effects.shape == (3, LENGTH)
    assert found.effects[-1, -1].item() == pytest.approx(1)  # what is read out at the end
    assert found.effects[-1, :-1].abs().max() < 1e-9  # which nothing else reaches any more
    assert found.effects[:, :CHANGED].abs().max() < 1e-9  # both texts begin alike


@pytest.mark.parametrize("value", ["attention.output", "attention.mixed", "attention.values", "feedforward.hidden"])
def test_any_part_can_be_patched_alone(model, clean, corrupted, value: str):
    found = patch_activations(model, clean, corrupted, value, answer=1, foil=2)
    assert found.effects.shape == (3, LENGTH)
    assert found.effects[:, :CHANGED].abs().max() < 1e-9
    assert found.effects[:, CHANGED:].abs().max() > 1e-3


def test_patching_one_place_is_the_run_with_that_place_exchanged(model, clean, corrupted):
    from glassbox.insight import trace_tokens
    from glassbox.insight.interventions import run_changed

    name = "blocks.1.attention.values"
    held = trace_tokens(model, clean, [name]).values[name]

    def exchange(value: torch.Tensor) -> None:
        value[:, :, 3] = held[:, :, 3]

    logits = run_changed(model, corrupted, {name: exchange})[0, -1]
    found = patch_activations(model, clean, corrupted, "attention.values", answer=1, foil=2)
    expected = (float(logits[1] - logits[2]) - found.corrupted) / (found.clean - found.corrupted)
    assert found.effects[1, 3].item() == pytest.approx(expected)


def test_the_answers_are_by_default_what_each_text_is_answered_with(model, clean, corrupted):
    for seed in range(20):
        pair = [tokens_of(SPEC, 1, LENGTH, seed=seed + offset) for offset in (0, 100)]
        best = [int(model.forward(tokens)[0][0, -1].argmax()) for tokens in pair]
        if best[0] != best[1]:
            found = patch_activations(model, *pair)
            assert [found.answer, found.foil] == best
            assert found.clean > 0 > found.corrupted
            return
    pytest.fail("all texts were answered alike")


def test_texts_that_cannot_be_compared_are_refused(model, clean, corrupted):
    with pytest.raises(BadInput, match="6 and 5 tokens"):
        patch_activations(model, clean, corrupted[:, :5])
    with pytest.raises(BadInput, match="answered alike"):
        patch_activations(model, clean, clean)
    with pytest.raises(BadInput, match="beside the computation"):
        patch_activations(model, clean, corrupted, "attention.weights")
    with pytest.raises(BadInput, match="nonsense"):
        patch_activations(model, clean, corrupted, "nonsense")
