from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import assume, given, settings
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.insight import trace_tokens
from glassbox.spec import Experts, ModelSpec

SPEC = ModelSpec(vocabulary_size=11, context=10, width=12, layers=2, heads=3, positions="learned", activation="gelu")


def loss_of(model: Transformer, tokens: Tensor) -> Tensor:
    logits, _ = model.forward(tokens)
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@given(spec=specs(kinds=("decoder", "encoder")))
@settings(max_examples=40)
def test_every_named_value_is_the_one_that_the_forward_pass_computes(spec: ModelSpec):
    model, tokens = model_of(spec), tokens_of(spec, 2, 7)
    seen = trace_tokens(model, tokens, ["*"])
    with torch.no_grad():
        _, details = model.forward(tokens, keep=["*"])
    assert list(seen.values) == list(value_shapes(spec, 2, 7))
    for name, value in seen.values.items():
        assert torch.equal(value, details.values[name])
        assert not value.requires_grad


def test_nothing_is_held_but_what_was_asked_for():
    model = model_of(SPEC)
    assert trace_tokens(model, tokens_of(SPEC, 1, 5)).values == {}
    assert list(trace_tokens(model, tokens_of(SPEC, 1, 5), ["logits"]).values) == ["logits"]


def test_scores_are_computed_only_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch):
    from glassbox.engines.tensors.attention import Attention

    opened: list[int] = []
    real = Attention._explain
    monkeypatch.setattr(Attention, "_explain", lambda self, *given: (opened.append(self.layer), real(self, *given)))
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 5)
    trace_tokens(model, tokens, ["*.residual", "*.mixed"])
    assert opened == []
    trace_tokens(model, tokens, ["blocks.1.attention.weights"])
    assert opened == [1]


def test_the_loss_is_that_of_the_next_tokens():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 6)
    assert trace_tokens(model, tokens).loss == pytest.approx(loss_of(model, tokens).item(), abs=1e-12)
    assert trace_tokens(model, tokens[:, :1]).loss is None


@given(spec=specs(kinds=("decoder",)))
@settings(max_examples=30)
def test_gradients_by_queries_before_rotation_give_those_of_the_query_matrix(spec: ModelSpec):
    assume(spec.norm != "none")  # without it values, and rounding with them, grow without bound
    model, tokens = model_of(spec), tokens_of(spec, 2, 7)
    loss_of(model, tokens).backward()
    expected = model.gradients()["blocks.0.attention.query"]
    shapes = value_shapes(spec, 2, 7)
    name = next(f"blocks.0.attention.{part}" for part in ("projected_queries", "queries") if
                f"blocks.0.attention.{part}" in shapes)  # fmt: skip
    read = next(
        part for part in ("blocks.0.attention_norm.output", "embedding_norm.output", "embedding.output")
        if part in shapes and (part != "blocks.0.attention_norm.output" or spec.norm_placement != "post")
    )  # fmt: skip
    seen = trace_tokens(model, tokens, [read, name], gradients=[name])
    slopes = seen.gradients[name].transpose(1, 2).flatten(2)  # (batch, length, heads * head_width)
    assert_near(torch.einsum("blo,bli->oi", slopes, seen.values[read]), expected, 1e-9)
    assert torch.equal(seen.values[name], trace_tokens(model, tokens, [name]).values[name])


@given(spec=specs(kinds=("decoder",)))
@settings(max_examples=30)
def test_gradients_by_scores_and_weights_are_those_of_attention_written_out(spec: ModelSpec):
    assume(spec.norm != "none")  # without it values, and rounding with them, grow without bound
    model, tokens = model_of(spec), tokens_of(spec, 2, 7)
    opened: list[tuple[Tensor, Tensor]] = []

    def written_out(queries: Tensor, keys: Tensor, values: Tensor, *, attn_mask: Any = None, is_causal: bool = False,
                    scale: float = 1.0, **_: Any) -> Tensor:  # fmt: skip
        groups = queries.shape[1] // keys.shape[1]
        scores = queries @ keys.repeat_interleave(groups, 1).transpose(2, 3) * scale
        if is_causal:
            scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(-1)
        opened.append((scores, weights))
        return weights @ values.repeat_interleave(groups, 1)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.nn.functional, "scaled_dot_product_attention", written_out)
        expected = torch.autograd.grad(loss_of(model, tokens), opened[0])
    names = ["blocks.0.attention.scores", "blocks.0.attention.weights"]
    found = trace_tokens(model, tokens, gradients=names).gradients
    assert list(found) == names
    for gradient, reference in zip(found.values(), expected, strict=True):
        assert_near(gradient, reference, 1e-9)


def test_gradients_by_other_values_are_what_a_small_step_shows():
    from glassbox.insight.interventions import CHANGEABLE, run_changed

    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 6)
    names = [name for name in value_shapes(SPEC, 2, 6) if CHANGEABLE.fullmatch(name)]
    assert len(names) > 20
    seen = trace_tokens(model, tokens, gradients=names)
    for name in names:
        direction = torch.randn(seen.gradients[name].shape, generator=torch.Generator().manual_seed(1)).double()
        ends = [
            torch.nn.functional.cross_entropy(
                run_changed(model, tokens, {name: lambda value, step=by * direction: value.add_(step)})[:, :-1]
                .flatten(0, 1), tokens[:, 1:].flatten(),
            ).item()
            for by in (-1e-6, 1e-6)
        ]  # fmt: skip
        assert (seen.gradients[name] * direction).sum().item() == pytest.approx((ends[1] - ends[0]) / 2e-6, abs=1e-6)


def test_a_trace_leaves_no_gradients_in_the_model():
    model = model_of(SPEC)
    trace_tokens(model, tokens_of(SPEC, 1, 5), gradients=["*.residual"])
    assert model.gradients() == {}


def test_gradients_are_found_in_a_model_that_cannot_learn():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 5)
    expected = trace_tokens(model, tokens, gradients=["blocks.1.residual"]).gradients["blocks.1.residual"]
    model.requires_grad_(False)
    found = trace_tokens(model, tokens, gradients=["blocks.1.residual"]).gradients["blocks.1.residual"]
    assert torch.equal(found, expected)


def test_an_encoder_decoder_shows_both_stacks():
    spec = SPEC.replace(kind="encoder-decoder", encoder_layers=1)
    model, tokens, source = model_of(spec), tokens_of(spec, 2, 5), tokens_of(spec, 2, 8)
    names = ["blocks.*.cross_attention.weights", "encoder.blocks.*.residual"]
    seen = trace_tokens(model, tokens, names, gradients=names, source=source)
    assert seen.values["blocks.1.cross_attention.weights"].shape == (2, 3, 5, 8)
    assert seen.gradients["encoder.blocks.0.residual"].shape == (2, 8, 12)


def test_unknown_names_and_impossible_gradients_are_refused():
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 5)
    with pytest.raises(BadInput, match=r"attention\.wieghts"):
        trace_tokens(model, tokens, ["blocks.*.attention.wieghts"])
    with pytest.raises(BadInput, match="nothing is to be predicted"):
        trace_tokens(model, tokens[:, :1], gradients=["logits"])
    experts = SPEC.replace(experts=Experts(count=3, active=2, hidden_width=4))
    with pytest.raises(BadInput, match="isn't computed from"):
        trace_tokens(model_of(experts), tokens, gradients=["*.experts.up"])


def test_an_encoder_of_bert_s_kind_shows_its_last_layer_too():
    spec = SPEC.replace(kind="encoder", token_types=2, output_transform=True)
    model, tokens = model_of(spec), tokens_of(spec, 1, 5)
    targets = tokens_of(spec, 1, 5, seed=1)
    names = ["embedding.type_vectors", "output.transformed"]
    seen = trace_tokens(model, tokens, names, gradients=names, targets=targets)
    assert list(seen.values) == names
    assert seen.gradients["output.transformed"].shape == (1, 5, 12)
    vectors = model_of(spec.replace(head="vectors", output_transform=False))
    assert trace_tokens(vectors, tokens, ["logits"]).values["logits"].shape == (1, 5, 12)
    with pytest.raises(BadInput, match="vectors"):
        trace_tokens(vectors, tokens, targets=targets)
