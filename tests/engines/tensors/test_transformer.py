"""The transformer in PyTorch: its values, its masks, its weights by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.engines.initialization import initial_weights
from glassbox.engines.interface import IGNORED
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes

SMALL: dict[str, Any] = {"vocabulary_size": 13, "context": 8, "width": 12, "layers": 2, "heads": 4, "head_width": 4}


@given(specs(), st.integers(1, 12))
@settings(max_examples=60)
def test_every_named_value_is_there_once_in_order_with_its_shape(spec: ModelSpec, length: int) -> None:
    _, details = model_of(spec)(tokens_of(spec, 2, length), keep="*")
    shapes = {name: tuple(value.shape) for name, value in details.values.items()}
    assert list(shapes.items()) == list(value_shapes(spec, 2, length).items())


@given(specs())
@settings(max_examples=60)
def test_attention_weights_are_those_that_the_fused_kernel_used(spec: ModelSpec) -> None:
    _, details = model_of(spec)(tokens_of(spec, 2, 7), keep=["blocks.*.attention.*"])
    for layer in range(spec.layers):
        name = f"blocks.{layer}.attention"
        weights, values = details.values[f"{name}.weights"], details.values[f"{name}.values"]
        values = values.repeat_interleave(spec.heads // spec.key_value_heads, 1)
        assert_near(weights @ values, details.values[f"{name}.mixed"])
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@given(specs())
@settings(max_examples=60)
def test_asking_for_values_changes_no_logit(spec: ModelSpec) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    plain, nothing = model(tokens)
    asked, _ = model(tokens, keep="*")
    assert torch.equal(plain, asked)
    assert nothing.values == {}


@given(specs(kinds=("decoder",)), st.integers(1, 11))
@settings(max_examples=60)
def test_a_decoder_does_not_see_what_comes_later(spec: ModelSpec, changed: int) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 2, 12)
    other = tokens.clone()
    other[:, changed:] = (other[:, changed:] + 1) % spec.vocabulary_size
    before, after = model(tokens)[0], model(other)[0]
    assert_near(before[:, :changed], after[:, :changed])
    assert not torch.allclose(before[:, changed], after[:, changed])


@given(specs(kinds=("encoder",)).filter(lambda spec: spec.window is None))
@settings(max_examples=30)
def test_an_encoder_sees_what_comes_later(spec: ModelSpec) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 2, 12)
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % spec.vocabulary_size
    assert not torch.allclose(model(tokens)[0][:, 0], model(other)[0][:, 0], rtol=0, atol=1e-15)


@given(specs(), st.integers(1, 11))
@settings(max_examples=60)
def test_padding_behind_a_sequence_changes_nothing_in_it(spec: ModelSpec, length: int) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 2, 12)
    present = torch.arange(12) < torch.tensor([[length], [12]])
    padded = model(tokens, present=present)[0]
    assert_near(padded[:1, :length], model(tokens[:1, :length])[0])
    assert_near(padded[1:], model(tokens[1:])[0])
    assert padded.isfinite().all()


@given(specs(kinds=("decoder",)), st.lists(st.integers(1, 5), min_size=1, max_size=5))
@settings(max_examples=60)
def test_reading_in_pieces_with_a_cache_gives_the_same_logits(spec: ModelSpec, pieces: list[int]) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 3, 12)
    cache = Cache(spec, 3, 12, like=model.embedding.tokens)
    with torch.no_grad():
        whole, parts = model(tokens)[0], []
        while cache.length < 12:
            length = min(pieces[len(parts) % len(pieces)], 12 - cache.length)
            parts.append(model(tokens[:, cache.length : cache.length + length], cache=cache)[0])
    assert_near(torch.cat(parts, 1), whole)


@given(specs(), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_gradients_are_the_slopes_of_the_loss(spec: ModelSpec, random: Any) -> None:
    """Central differences along a random direction; relu's corners are avoided by choosing smooth activations."""
    if spec.activation in ("relu", "relu_squared"):
        spec = spec.replace(activation="silu")
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    targets = tokens_of(spec, 2, 6, seed=1)
    targets[0, 2] = IGNORED
    model.backward(model(tokens, targets)[1])
    weights, gradients = model.weights(), model.gradients()
    directions = {name: torch.randn_like(weight) for name, weight in weights.items()}
    slope = sum(float((gradients[name] * directions[name]).sum()) for name in gradients)
    step, losses = 1e-6, []
    for sign in (1, -2):  # from +step to -step
        for name, weight in weights.items():
            weight += sign * step * directions[name]
        with torch.no_grad():
            losses.append(float(model.objective(model(tokens, targets)[1])))
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@given(specs())
@settings(max_examples=40)
def test_weights_and_gradients_have_the_canonical_names_and_shapes(spec: ModelSpec) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 2, 5)
    assert {name: tuple(weight.shape) for name, weight in model.weights().items()} == weight_shapes(spec)
    assert list(model.weights()) == list(weight_shapes(spec))
    assert model.gradients() == {}
    model.backward(model(tokens, tokens)[1])
    assert {name: tuple(slope.shape) for name, slope in model.gradients().items()} == weight_shapes(spec)
    model.zero_grad()
    assert model.gradients() == {}


def test_writing_into_a_weight_changes_the_model() -> None:
    spec = ModelSpec(**SMALL, activation="swiglu", attention_bias="all", feedforward_bias=True)
    model, tokens = model_of(spec), tokens_of(spec, 1, 5)
    for name, weight in model.weights().items():
        before = model(tokens)[0]
        weight[...] += 0.1 + torch.rand_like(weight)
        if not name.endswith("key_bias"):  # adds the same to all scores of a query but for rotation
            assert not torch.equal(before, model(tokens)[0]), name


@given(specs(kinds=("encoder",)).map(lambda spec: spec.replace(head="classes", classes=3, tied_embeddings=False)))
@settings(max_examples=20)
def test_a_classifier_reads_its_first_token(spec: ModelSpec) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 4, 6)
    logits, details = model(tokens, torch.tensor([0, 2, IGNORED, 1]), keep=["final_norm.output", "logits"][1:])
    assert logits.shape == (4, 3)
    assert torch.equal(details.values["logits"], logits)
    torch.testing.assert_close(logits, model.logits(model.hidden(tokens)[:, 0]))
    expected = torch.nn.functional.cross_entropy(logits[[0, 1, 3]], torch.tensor([0, 2, 1]))
    torch.testing.assert_close(details.loss, expected)


@given(specs())
@settings(max_examples=15)
def test_computing_blocks_again_gives_the_same_gradients(spec: ModelSpec) -> None:
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    model.backward(model(tokens, tokens)[1])
    expected = {name: slope.clone() for name, slope in model.gradients().items()}
    model.zero_grad()
    model.checkpointing = True
    model.backward(model(tokens, tokens)[1])
    for name, slope in model.gradients().items():
        assert_near(slope, expected[name])


def test_dropout_depends_on_the_generator_and_only_in_training() -> None:
    spec = ModelSpec(**SMALL)
    model, tokens = Transformer(spec, dropout=0.5), tokens_of(spec, 2, 8)

    def trained(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return model.train()(tokens)[0]

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))
    assert torch.equal(model.eval()(tokens)[0], Transformer(spec)(tokens)[0])


def test_in_bfloat16_the_logits_are_near_those_in_float32() -> None:
    spec = ModelSpec(**SMALL, qk_norm=True, window=3, key_value_heads=2)
    model, tokens = model_of(spec, dtype=torch.float32), tokens_of(spec, 2, 8)
    expected = model(tokens)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rough, details = model(tokens, tokens)
    model.backward(details)
    assert details.loss is not None and details.loss.dtype == torch.float32
    torch.testing.assert_close(rough.float(), expected, rtol=0.1, atol=0.1)


def test_a_train_step_returns_the_loss_before_it_and_lowers_it() -> None:
    spec = ModelSpec(**SMALL)
    model, tokens = Transformer(spec), tokens_of(spec, 4, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = float(model(tokens, tokens)[1].loss.detach())
    losses = [model.train_step(tokens, tokens, optimizer) for _ in range(30)]
    assert losses[0] == pytest.approx(before)
    assert losses[-1] < before


def test_the_plain_loop_generates_the_likeliest_token_or_a_chosen_one() -> None:
    spec = ModelSpec(**SMALL)
    model = model_of(spec)
    ids = model.generate([1, 2], 10)
    assert ids[:2] == [1, 2] and len(ids) == 12
    assert ids[-1] == int(model(torch.tensor([ids[-9:-1]]))[0][0, -1].argmax())
    assert model.generate([1], 3, lambda logits: len(logits) - 1) == [1, 12, 12, 12]


def test_decoding_first_leaves_nothing_that_training_cannot_use() -> None:
    spec = ModelSpec(**SMALL, window=3)
    model, tokens = Transformer(spec), tokens_of(spec, 2, 8)
    with torch.inference_mode():
        model(tokens)
    model.backward(model(tokens, tokens)[1])
    assert model.gradients()


def test_too_many_tokens_and_unknown_values_are_bad_input() -> None:
    model = Transformer(ModelSpec(**SMALL))
    with pytest.raises(BadInput, match="9 tokens were given at once, and there is room for 8"):
        model(tokens_of(model.spec, 1, 9))
    with pytest.raises(
        BadInput, match=r"no intermediate value called 'blocks\.0\.atention\.\*'.*blocks\.\*\.attention\.weights"
    ):
        model(tokens_of(model.spec, 1, 2), keep=["blocks.0.atention.*"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("output.weight"), "lack output.weight"),
        (lambda weights: weights.update({"nonsense": np.zeros(1)}), "hold nonsense"),
        (
            lambda weights: weights.update({"final_norm.gain": np.zeros(5)}),
            r"final_norm.gain has shape \(5,\), and this model's has \(12,\)",
        ),
    ],
)
def test_weights_of_another_model_are_refused_and_change_nothing(change: Any, message: str) -> None:
    model = Transformer(ModelSpec(**SMALL))
    before = {name: weight.clone() for name, weight in model.weights().items()}
    weights: dict[str, Any] = {name: weight + 1 for name, weight in initial_weights(model.spec, 5).items()}
    change(weights)
    with pytest.raises(BadInput, match=message):
        model.load_weights(weights)
    assert all(torch.equal(weight, before[name]) for name, weight in model.weights().items())


@pytest.mark.slow
def test_the_compiled_model_computes_the_same() -> None:
    spec = ModelSpec(**SMALL, qk_norm=True, value_embeddings=True, activation="swiglu")
    model, tokens = model_of(spec, dtype=torch.float32), tokens_of(spec, 2, 8)
    expected, details = model(tokens, tokens)
    model.backward(details)
    slopes = {name: slope.clone() for name, slope in model.gradients().items()}
    model.zero_grad()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    logits, details = compiled(tokens, tokens)
    details.loss.backward()
    torch.testing.assert_close(logits, expected)
    for name, slope in model.gradients().items():
        torch.testing.assert_close(slope, slopes[name])
