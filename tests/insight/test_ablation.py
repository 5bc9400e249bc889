from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight import (
    ablate_heads,
    ablation,
    ablation_effects,
    detect_heads,
    heads_on_repeated,
    next_tokens,
    residual_norms,
)
from glassbox.insight.ablation import Kind, losses_without
from glassbox.insight.head_detection import repeated_random_tokens
from glassbox.insight.interventions import run_changed
from glassbox.spec import ModelSpec

SPEC = ModelSpec(vocabulary_size=11, context=10, width=12, layers=2, heads=3, initial_std=0.4)
ENCODER = SPEC.replace(kind="encoder")


@given(spec=specs(kinds=("decoder",)))
@settings(max_examples=30)
def test_a_head_set_to_zero_is_a_head_whose_output_matrix_is_zero(spec: ModelSpec):
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    layer, head = spec.layers - 1, spec.heads - 1
    found = ablate_heads(model, tokens, [(layer, head)])
    columns = slice(head * spec.head_width, (head + 1) * spec.head_width)
    model.weights()[f"blocks.{layer}.attention.output"][:, columns] = 0
    assert_near(found, next_tokens(model, tokens).loss, 1e-9)


def test_a_head_set_to_its_mean_says_the_same_everywhere():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 6)
    one_place = tokens[:1, :1].expand(2, 6)  # the same token everywhere, and no positions but rotary ones
    model.weights()["blocks.0.attention.query"].zero_()  # so that attention is even and mixes the same everywhere
    assert_near(ablate_heads(model, one_place, [(0, 1)], "mean"), ablate_heads(model, one_place, []), 1e-9)
    assert not torch.equal(ablate_heads(model, tokens, [(0, 1)], "mean"), ablate_heads(model, tokens, []))


def test_effects_are_differences_of_the_mean_loss():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 6)
    effects = ablation_effects(model, tokens, positions=slice(2, None))
    expected = ablate_heads(model, tokens, [(1, 2)])[:, 2:].mean() - ablate_heads(model, tokens, [])[:, 2:].mean()
    assert effects.shape == (2, 3)
    assert effects[1, 2].item() == pytest.approx(expected.item(), abs=1e-6)


@given(spec=specs(kinds=("decoder",)), kind=st.sampled_from(["zero", "mean"]))
@settings(max_examples=30, deadline=None)
def test_ablations_side_by_side_are_those_one_after_the_other(spec: ModelSpec, kind: Kind):
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    heads = [(layer, head) for layer in range(spec.layers) for head in range(spec.heads)]
    sets = [[], heads, *([head] for head in heads)]
    expected = torch.stack([ablate_heads(model, tokens, silent, kind) for silent in sets])
    assert_near(losses_without(model, tokens, sets, kind), expected, 1e-9)
    measured = losses_without(model, tokens, sets, kind, positions=slice(2, None))
    assert_near(measured, expected[..., 2:], 1e-9)


@given(spec=specs(kinds=("decoder",)))
@settings(max_examples=30, deadline=None)
def test_each_ablation_is_a_whole_pass_in_which_what_the_head_mixed_is_zero(spec: ModelSpec):
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    for layer in range(spec.layers):
        logits = run_changed(model, tokens, {f"blocks.{layer}.attention.mixed": lambda mixed: mixed[:, 0].zero_()})
        expected = F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
        assert_near(ablate_heads(model, tokens, [(layer, 0)]), expected, 1e-9)


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_ablations_side_by_side_are_those_one_after_the_other_in_single_precision(kind: Kind):
    model, tokens = model_of(SPEC, dtype=torch.float32), tokens_of(SPEC, 2, 6)
    sets = [[], [(0, 1)], [(1, 0), (1, 2)]]
    expected = torch.stack([ablate_heads(model, tokens, silent, kind) for silent in sets])
    assert_near(losses_without(model, tokens, sets, kind), expected, 1e-6)


def test_as_many_ablations_share_a_pass_as_memory_allows(monkeypatch: pytest.MonkeyPatch):
    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 6)
    together = ablation_effects(model, tokens)
    passes: list[int] = []
    read_out = Transformer.logits
    monkeypatch.setattr(
        Transformer, "logits", lambda model, rows, *more: passes.append(len(rows)) or read_out(model, rows, *more)
    )
    monkeypatch.setattr(ablation, "MOST_AT_ONCE", 4 * tokens.numel() * SPEC.hidden_width)
    assert_near(ablation_effects(model, tokens), together, 1e-9)
    assert passes == [8, 6]  # seven ablations of two texts


def test_repeated_random_tokens_repeat_and_depend_on_the_seed_alone():
    tokens = repeated_random_tokens(SPEC, rows=3, half=4, seed=7)
    assert torch.equal(tokens[:, :4], tokens[:, 4:])
    assert torch.equal(tokens, repeated_random_tokens(SPEC, rows=3, half=4, seed=7))
    assert not torch.equal(tokens, repeated_random_tokens(SPEC, rows=3, half=4, seed=8))
    assert repeated_random_tokens(SPEC).shape == (4, 10)  # as much as the context holds


def test_what_heads_do_on_repeated_tokens_can_be_found_once_for_all_texts():
    model = model_of(SPEC)
    once = heads_on_repeated(model, kind="mean")
    for seed in range(2):
        tokens = tokens_of(SPEC, 1, 6, seed)
        found, expected = (detect_heads(model, tokens, on_repeated=given, kind="mean") for given in (once, None))
        assert torch.equal(found.on_repeated, expected.on_repeated)
        assert torch.equal(found.ablation, expected.ablation)
        assert found.scores.keys() == expected.scores.keys()
        for pattern, scores in expected.scores.items():
            assert torch.equal(found.scores[pattern], scores)


def test_only_the_decoder_s_stream_is_measured():
    spec = SPEC.replace(kind="encoder-decoder", encoder_layers=1)
    norms = residual_norms(model_of(spec), tokens_of(spec, 1, 4), source=tokens_of(spec, 1, 6))
    assert all(held.shape == (1, 4) for held in norms.values())


def test_what_cannot_be_ablated_or_told_apart_is_refused():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 6)
    for head in ((2, 0), (0, 3), (-1, 0)):
        with pytest.raises(BadInput, match="There is no head"):
            ablate_heads(model, tokens, [head])
    with pytest.raises(BadInput, match="next tokens"):
        ablate_heads(model, tokens[:, :1], [])
    with pytest.raises(BadInput, match="next tokens"):
        ablate_heads(model_of(ENCODER), tokens, [])
    with pytest.raises(BadInput, match="this is an encoder"):
        detect_heads(model_of(ENCODER), tokens)
    with pytest.raises(BadInput, match="this is an encoder"):
        heads_on_repeated(model_of(ENCODER))
    with pytest.raises(BadInput, match="context of 10"):
        repeated_random_tokens(SPEC, half=6)
