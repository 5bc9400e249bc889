"""Predictions, the logit lens, the residual stream, direct attribution."""

from __future__ import annotations

import math

import pytest
import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import assume, given, settings

from glassbox.errors import BadInput
from glassbox.insight import attribute_logits, logit_lens, masked_tokens, next_tokens, residual_norms, trace_tokens
from glassbox.insight.predictions import judge
from glassbox.spec import ModelSpec

SPEC = ModelSpec(vocabulary_size=11, context=10, width=12, layers=2, heads=3, initial_std=0.4)
CLASSIFIER = SPEC.replace(kind="encoder", head="classes", classes=3)


def test_predictions_are_those_of_the_softmax():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 6)
    said = next_tokens(model, tokens, count=3)
    probabilities = model.forward(tokens)[0].detach().softmax(-1)
    expected = torch.distributions.Categorical(probabilities)
    assert_near(said.entropy, expected.entropy() / math.log(2), 1e-12)
    assert_near(said.loss, -expected.log_prob(tokens.roll(-1, 1))[:, :-1], 1e-12)
    assert_near(said.probabilities, probabilities.sort(-1, descending=True).values[..., :3], 1e-12)
    order = probabilities.argsort(-1, descending=True)
    assert torch.equal(said.likeliest, order[..., :3])
    places = (order[:, :-1] == tokens[:, 1:, None]).int().argmax(-1)
    assert torch.equal(said.rank, places)


def test_a_prediction_that_is_certain_has_no_entropy():
    model = model_of(SPEC.replace(output_bias=True))
    model.weights()["output.bias"][3] = 1e6
    said = next_tokens(model, tokens_of(SPEC, 1, 4))
    assert said.entropy.tolist() == [[0.0] * 4]


@given(spec=specs(kinds=("decoder", "encoder")))
@settings(max_examples=40)
def test_the_last_row_of_the_lens_is_the_model_itself(spec: ModelSpec):
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    rows = logit_lens(model, tokens, count=4)
    assert len(rows) == spec.layers + 1
    said = judge(model.forward(tokens)[0].detach(), tokens, 4, causal=spec.causal)
    assert_near(rows[-1].said.entropy, said.entropy, 1e-11)
    assert_near(rows[-1].said.loss, said.loss, 1e-11)


def test_the_first_row_of_the_lens_is_a_model_without_blocks():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 6)
    for name, weight in model.weights().items():
        if name.endswith(("attention.output", "feedforward.down")):
            weight.zero_()
    rows = logit_lens(model, tokens)
    assert_near(rows[0].said.loss, next_tokens(model, tokens).loss, 1e-12)


def test_an_encoder_is_asked_about_each_place_while_it_doesnt_see_it():
    model, tokens = model_of(SPEC.replace(kind="encoder")), tokens_of(SPEC, 1, 5)
    said = masked_tokens(model, tokens, mask=10, count=3)
    for place in range(5):
        masked = tokens.clone()
        masked[0, place] = 10
        logs = model.forward(masked)[0].detach()[0, place].log_softmax(-1)
        assert said.loss[0, place].item() == pytest.approx(-logs[tokens[0, place]].item(), abs=1e-10)
        assert said.likeliest[0, place].tolist() == logs.topk(3).indices.tolist()
    with pytest.raises(BadInput, match="no next tokens"):
        next_tokens(model, tokens)
    with pytest.raises(BadInput, match="no mask"):
        masked_tokens(model_of(SPEC), tokens, mask=10)


def test_norms_are_those_of_the_stream_and_of_what_joins_it_in_order():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 6)
    norms = residual_norms(model, tokens)
    assert list(norms)[:5] == [
        "embedding.output", "blocks.0.attention.output", "blocks.0.attention_residual", "blocks.0.feedforward.output",
        "blocks.0.residual",
    ]  # fmt: skip
    stream = trace_tokens(model, tokens, ["blocks.1.residual"]).values["blocks.1.residual"]
    assert_near(norms["blocks.1.residual"], stream.square().sum(-1).sqrt(), 1e-12)


@given(spec=specs(kinds=("decoder", "encoder")))
@settings(max_examples=60)
def test_the_parts_of_a_logit_sum_to_it(spec: ModelSpec):
    assume(spec.norm_placement != "post")
    model, tokens = model_of(spec), tokens_of(spec, 2, 5)
    answers, others = tokens_of(spec, 2, 5, seed=1), tokens_of(spec, 2, 5, seed=2)
    logits = model.forward(tokens)[0].detach()
    if spec.logit_softcap is not None:  # the sum is what the cap is put on
        logits = spec.logit_softcap * torch.atanh(logits / spec.logit_softcap)
        assume(bool(logits.abs().max() < 8))  # nearer to the cap its inverse has no digits left
    said, contrary = (logits.gather(-1, ids[..., None])[..., 0] for ids in (answers, others))
    found = attribute_logits(model, tokens, answers)
    assert len(found.names) == len(set(found.names)) == len(found.shares)
    assert_near(found.logits, said, 1e-8)
    assert_near(attribute_logits(model, tokens, answers, others).logits, said - contrary, 1e-8)


def test_a_silent_head_has_no_share():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 5)
    model.weights()["blocks.1.attention.output"][:, 4:8] = 0
    found = attribute_logits(model, tokens, tokens)
    shares = dict(zip(found.names, found.shares, strict=True))
    assert shares["blocks.1.attention.head 1"].abs().max() == 0
    assert shares["blocks.1.attention.head 0"].abs().min() > 0


def test_models_that_say_no_tokens_or_are_no_sum_are_refused():
    model, tokens = model_of(CLASSIFIER), tokens_of(CLASSIFIER, 1, 4)
    for look in (next_tokens, logit_lens):
        with pytest.raises(BadInput, match="classes predicts no tokens"):
            look(model, tokens)
    for spec in (CLASSIFIER, SPEC.replace(norm_placement="post")):
        with pytest.raises(BadInput, match="aren't a sum"):
            attribute_logits(model_of(spec), tokens, tokens)
