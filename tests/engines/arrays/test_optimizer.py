"""The optimisers of the arrays engine, against PyTorch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from glassbox.engines import arrays, tensors
from glassbox.engines.arrays import optimizer
from glassbox.engines.tensors import optimizer as tensors_optimizer
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec

SPEC = ModelSpec(
    vocabulary_size=300, context=8, width=64, layers=2, heads=2, norm="layer", norm_bias=True, attention_bias="all"
)
TOKENS = np.arange(16).reshape(2, 8)


def model() -> arrays.Transformer:
    return arrays.Transformer(SPEC, seed=3, dtype=np.float64)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_five_updates_are_those_of_torch_optim(name: str):
    ours = model()
    weights = {name: torch.tensor(weight, requires_grad=True) for name, weight in ours.weights().items()}
    matrices = [weight for weight in weights.values() if weight.ndim == 2]
    vectors = [weight for weight in weights.values() if weight.ndim < 2]
    adam = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8}
    theirs: Any = {
        "sgd": lambda: torch.optim.SGD(weights.values(), lr=1e-2, momentum=0.9),
        "adam": lambda: torch.optim.Adam(weights.values(), **adam),
        "adamw": lambda: torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], **adam
        ),
    }[name]()
    own = optimizer.OPTIMIZERS[name](ours, 1e-2)
    for _ in range(5):
        ours.train_step(TOKENS, TOKENS, own)
        for weight, gradient in ours.gradients().items():
            weights[weight].grad = torch.tensor(gradient)
        theirs.step()
    for weight, expected in weights.items():
        np.testing.assert_allclose(ours.weights()[weight], expected.detach().numpy(), rtol=1e-11, atol=1e-12)


def test_without_gradients_nothing_moves():
    ours = model()
    before = ours.parameters.values.copy()
    own = optimizer.AdamW(ours)
    own.step()
    ours.forward(TOKENS, TOKENS)
    own.step()
    np.testing.assert_array_equal(ours.parameters.values, before)
    assert own.steps == 0
    assert optimizer.clip_gradients(ours, 1.0) == 0


def test_the_learning_rate_can_change_before_every_step():
    ours = model()
    own = optimizer.Adam(ours)
    ours.train_step(TOKENS, TOKENS, own)
    before = ours.parameters.values.copy()
    own.learning_rate = 0.0
    ours.train_step(TOKENS, TOKENS, own)
    np.testing.assert_array_equal(ours.parameters.values, before)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_training_goes_on_from_the_state_as_if_it_had_never_stopped(name: str):
    whole, stopped = model(), model()
    first, second = optimizer.OPTIMIZERS[name](whole), optimizer.OPTIMIZERS[name](stopped)
    for _ in range(2):
        whole.train_step(TOKENS, TOKENS, first)
        stopped.train_step(TOKENS, TOKENS, second)
    resumed = arrays.Transformer(SPEC, weights=stopped.weights(), dtype=np.float64)
    third = optimizer.OPTIMIZERS[name](resumed)
    third.load_named_state(second.named_state())
    whole.train_step(TOKENS, TOKENS, first)
    resumed.train_step(TOKENS, TOKENS, third)
    np.testing.assert_array_equal(whole.parameters.values, resumed.parameters.values)


def test_training_goes_on_from_the_state_of_pytorch():
    theirs = tensors.Transformer(SPEC, seed=3).double()
    their_optimizer = tensors_optimizer.AdamW(theirs)
    tokens = torch.tensor(TOKENS)
    theirs.train_step(tokens, tokens, their_optimizer)
    ours = arrays.Transformer(SPEC, weights=theirs.weights(), dtype=np.float64)
    own = optimizer.AdamW(ours)
    own.load_named_state(their_optimizer.named_state())
    theirs.train_step(tokens, tokens, their_optimizer)
    ours.train_step(TOKENS, TOKENS, own)
    for name, weight in theirs.weights().items():
        np.testing.assert_allclose(ours.weights()[name], weight.numpy(), atol=1e-11, err_msg=name)


def test_the_state_has_the_names_and_shapes_of_the_weights():
    state = optimizer.Adam(model()).named_state()
    assert state["blocks.1.attention.query.second_moment"].shape == (64, 64)
    assert len(state) == 1 + 2 * len(model().weights())


def test_a_state_of_another_kind_or_model_is_refused():
    own = optimizer.Adam(model())
    with pytest.raises(BadInput, match="only one of the two"):
        own.load_named_state(optimizer.SGD(model()).named_state())
    narrow = arrays.Transformer(SPEC.replace(width=32))
    with pytest.raises(BadInput, match="has shape"):
        own.load_named_state(optimizer.Adam(narrow).named_state())


def test_gradients_are_clipped_together_to_a_norm():
    ours = model()
    _, details = ours.forward(TOKENS, TOKENS)
    ours.backward(details)
    before = {name: gradient.copy() for name, gradient in ours.gradients().items()}
    norm = float(torch.nn.utils.get_total_norm([torch.tensor(gradient) for gradient in before.values()]))
    assert optimizer.clip_gradients(ours, 2 * norm) == pytest.approx(norm, rel=1e-12)
    np.testing.assert_array_equal(ours.gradients()["output.weight"], before["output.weight"])
    assert optimizer.clip_gradients(ours, norm / 4) == pytest.approx(norm, rel=1e-12)
    for name, gradient in ours.gradients().items():
        np.testing.assert_allclose(gradient, before[name] / 4, rtol=1e-12)
