from __future__ import annotations

import pytest
import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import assume, given, settings

from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.insight import trace_tokens
from glassbox.insight.interventions import CHANGEABLE, run_changed
from glassbox.spec import ModelSpec

SPEC = ModelSpec(vocabulary_size=11, context=10, width=12, layers=2, heads=3)


@given(spec=specs(kinds=("decoder", "encoder")))
@settings(max_examples=40)
def test_every_changeable_value_changes_the_logits_and_its_own_value_changes_nothing(spec: ModelSpec):
    assume(spec.norm != "none")  # without one, scores can be so large that softmax takes no notice of noise
    spec = spec.replace(activation="silu")  # whose few neurons are never all asleep, as those of relu can be
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    names = [name for name in value_shapes(spec, 2, 6) if CHANGEABLE.fullmatch(name)]
    seen = trace_tokens(model, tokens, [*names, "logits"]).values
    for name in names:
        same = run_changed(model, tokens, {name: lambda value, name=name: value.copy_(seen[name])})
        assert_near(same, seen["logits"], 1e-12)
    for name in names:  # by noise, because a norm takes every constant away
        noise = torch.randn(seen[name].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        other = run_changed(model, tokens, {name: lambda value, noise=noise: value.add_(noise)})
        if name.endswith(("queries", "keys")) and spec.window == 1:
            continue  # who sees itself alone needs neither
        assert (other - seen["logits"]).abs().max() > 1e-12, name


def test_a_change_leaves_the_weights_as_they_were():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 6)
    before = {name: weight.clone() for name, weight in model.weights().items()}
    names = [name for name in value_shapes(SPEC, 1, 6) if CHANGEABLE.fullmatch(name)]
    run_changed(model, tokens, {name: lambda value: value.zero_() for name in names})
    assert all(torch.equal(weight, before[name]) for name, weight in model.weights().items())


@pytest.mark.parametrize("name", ["blocks.0.attention.weights", "blocks.1.feedforward.up", "logits"])
def test_a_change_that_would_change_nothing_is_refused(name: str):
    with pytest.raises(BadInput, match=name):
        run_changed(model_of(SPEC), tokens_of(SPEC, 1, 4), {name: lambda value: value.zero_()})
