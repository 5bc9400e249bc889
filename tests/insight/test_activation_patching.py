from __future__ import annotations

import pytest
import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight import activation_patching, patch_activations, trace_tokens
from glassbox.insight.activation_patching import Patching
from glassbox.insight.interventions import run_changed
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


def one_after_the_other(model: Transformer, clean: torch.Tensor, corrupted: torch.Tensor, value: str) -> torch.Tensor:
    """The difference of the logits 1 and 2 with each value patched in a run of its own, (layers, length)."""
    spec, length = model.spec, clean.shape[1]
    names = [f"blocks.{layer}.{value}" for layer in range(spec.layers)]
    held = trace_tokens(model, clean, names).values
    differences = torch.zeros(len(names), length, dtype=torch.float64)
    for row, name in enumerate(names):
        for place in range(length):

            def exchange(value: torch.Tensor, name: str = name, place: int = place) -> None:
                value[..., place, :] = held[name][..., place, :]

            logits = run_changed(model, corrupted, {name: exchange})[0, -1]
            differences[row, place] = logits[1] - logits[2]
    return differences


def differences_of(found: Patching) -> torch.Tensor:
    return found.corrupted + found.effects * (found.clean - found.corrupted)


@given(
    spec=specs(kinds=("decoder",)),
    value=st.sampled_from(
        ["residual", "attention_norm.output", "feedforward.output"]
        + [f"attention.{value}" for value in ("queries", "keys", "values", "mixed", "output")]
    ),
    at_once=st.sampled_from([1, 4, 1000]),
    begins_alike=st.sampled_from([0, 0, 1, LENGTH - 1]),
)
@settings(max_examples=60, deadline=None)
def test_patches_side_by_side_are_those_one_after_the_other(
    spec: ModelSpec, value: str, at_once: int, begins_alike: int
):
    assume(spec.norm != "none" or value != "attention_norm.output")
    model, clean = model_of(spec), tokens_of(spec, 1, LENGTH, seed=1)
    corrupted = clean.clone()
    corrupted[:, begins_alike:] = (clean[:, begins_alike:] + 1) % spec.vocabulary_size
    right, wrong = (model.forward(tokens)[0][0, -1].detach() for tokens in (clean, corrupted))
    assume(abs(float(right[1] - right[2] - wrong[1] + wrong[2])) > 1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activation_patching, "MOST_AT_ONCE", at_once * LENGTH * spec.hidden_width)
        found = patch_activations(model, clean, corrupted, value, answer=1, foil=2)
    assert_near(differences_of(found), one_after_the_other(model, clean, corrupted, value), 1e-9)


@pytest.mark.parametrize("value", ["residual", "attention.mixed"])
def test_patches_side_by_side_are_those_one_after_the_other_in_single_precision(clean, corrupted, value: str):
    model = model_of(SPEC, dtype=torch.float32)
    found = patch_activations(model, clean, corrupted, value, answer=1, foil=2)
    assert_near(differences_of(found).double(), one_after_the_other(model, clean, corrupted, value), 1e-6)


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
