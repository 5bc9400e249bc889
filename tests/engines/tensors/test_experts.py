"""Experts are visited by whom the router sends, and by nobody else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn_specs import assert_near, model_of, tokens_of

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.experts import balance, gathered, grouped_linear
from glassbox.engines.tensors.optimizer import OPTIMIZERS
from glassbox.errors import BadInput
from glassbox.spec import Experts, ModelSpec, weight_shapes

EXPERTS = Experts(count=4, active=2, hidden_width=6)
SPEC = ModelSpec(
    vocabulary_size=13, context=12, width=8, layers=2, heads=2, activation="swiglu", experts=EXPERTS, initial_std=0.4
)
ROUTER, DOWN = "blocks.0.feedforward.router", "blocks.0.feedforward.experts.down"


def test_a_token_that_does_not_visit_an_expert_is_not_changed_by_it() -> None:
    model, tokens = model_of(SPEC), tokens_of(SPEC, 2, 9)
    _, before = model(tokens, keep="blocks.0.feedforward.*")
    visits = before.values["blocks.0.feedforward.router_weights"][..., 3] > 0
    assert visits.any() and not visits.all()
    model.weights()[DOWN][3] += 1
    _, after = model(tokens, keep="blocks.0.feedforward.output")
    moved = (after.values["blocks.0.feedforward.output"] != before.values["blocks.0.feedforward.output"]).any(-1)
    assert torch.equal(moved, visits)


def test_one_expert_that_is_always_visited_is_the_ordinary_network() -> None:
    dense = model_of(SPEC.replace(experts=None, hidden_width=6))
    one = SPEC.replace(experts=Experts(count=2, active=1, hidden_width=6))
    weights: dict[str, Any] = {}
    for name, shape in weight_shapes(one).items():
        part = name.replace(".experts.", ".")
        weights[name] = dense.weights()[part].expand(shape) if part in dense.weights() else torch.ones(shape)
    mixed, tokens = Transformer(one, weights=weights).double(), tokens_of(SPEC, 2, 9)
    mixed.load_weights(weights)
    assert_near(mixed(tokens)[0], dense(tokens)[0])


def test_of_experts_as_likely_as_one_another_the_first_are_visited() -> None:
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 5)
    model.weights()[ROUTER].zero_()
    _, details = model(tokens, keep="blocks.0.feedforward.router_weights")
    assert details.values["blocks.0.feedforward.router_weights"].tolist() == [[[0.5, 0.5, 0.0, 0.0]] * 5]


def test_the_load_balancing_loss_is_least_when_all_are_visited_alike() -> None:
    even, alone = torch.full((1, 4, 4), 0.25), torch.eye(4)[:1].expand(1, 4, 4)
    assert balance(even, torch.arange(4).view(1, 4, 1), None) == 1
    assert balance(alone, torch.zeros(1, 4, 1, dtype=torch.int64), None) == 4


def test_padding_has_no_say_in_the_load_balancing_loss() -> None:
    spec = SPEC.replace(kind="encoder")
    model, tokens = model_of(spec), tokens_of(spec, 2, 9)
    present = torch.arange(9) < torch.tensor([[4], [9]])
    other = torch.where(present, tokens, (tokens + 1) % 13)
    first, second = (model(ids, tokens, present=present)[1].balance for ids in (tokens, other))
    assert_near(first, second)
    nobody = model(tokens, tokens, present=torch.zeros_like(present))[1].balance
    assert nobody == 0


def test_training_with_the_load_balancing_loss_fills_the_experts_evenly() -> None:
    def unevenness(share: float) -> float:
        spec = SPEC.replace(experts=Experts(count=8, active=1, hidden_width=6, balance=share))
        model, tokens = Transformer(spec), tokens_of(spec, 16, 12)
        model.weights()[ROUTER][0] += 2  # one expert is liked by all
        optimizer = OPTIMIZERS["adam"](model, 0.01)
        for _ in range(60):
            model.train_step(tokens, tokens.roll(-1, 1), optimizer)
        return model(tokens, tokens)[1].balance.item()

    assert unevenness(0.1) < 1.2 < unevenness(0.0)


@pytest.mark.parametrize("copies", [1, 3])
def test_gathering_and_its_gradient_are_those_of_an_index(copies: int) -> None:
    order = torch.randperm(7 * copies)
    rows = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    found = gathered(rows, order, order.argsort(), copies)
    assert torch.equal(found, rows.repeat_interleave(copies, 0)[order])
    assert torch.autograd.gradcheck(lambda x: gathered(x, order, order.argsort(), copies), rows)


@pytest.mark.parametrize("counts", [[2, 0, 5], [0, 7, 0], [40, 50, 33]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_grouped_product_and_its_gradients_are_those_of_each_group(counts: list[int], dtype: torch.dtype) -> None:
    x = torch.randn(sum(counts), 4, dtype=dtype, requires_grad=True)
    weights = torch.randn(3, 6, 4, dtype=dtype, requires_grad=True)
    importance = torch.randn(sum(counts), 6, dtype=dtype)
    alone = torch.cat([rows @ matrix.t() for rows, matrix in zip(x.split(counts), weights, strict=True)])
    grouped = grouped_linear(x, weights, counts)
    assert_near(grouped, alone, 1e-5)
    for ours, theirs in zip(
        torch.autograd.grad((grouped * importance).sum(), (x, weights)),
        torch.autograd.grad((alone * importance).sum(), (x, weights)),
        strict=True,
    ):
        assert_near(ours, theirs, 1e-5)


def test_checkpointed_blocks_give_the_same_gradients() -> None:
    plain, tokens = model_of(SPEC), tokens_of(SPEC, 2, 9)
    saving = Transformer(SPEC, weights=plain.weights(), checkpointing=True).double()
    saving.load_weights(plain.weights())
    for model in (plain, saving):
        model.backward(model(tokens, tokens)[1])
    for name, gradient in plain.gradients().items():
        assert_near(saving.gradients()[name], gradient)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_trains_a_mixture(name: str) -> None:
    model, tokens = Transformer(SPEC), tokens_of(SPEC, 4, 12)
    optimizer = OPTIMIZERS[name](model, 0.02)
    losses = [model.train_step(tokens, tokens.roll(-1, 1), optimizer) for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]
    state = optimizer.named_state()
    assert {weight for weight in weight_shapes(SPEC) if any(key.startswith(f"{weight}.") for key in state)} == set(
        weight_shapes(SPEC)
    )


def test_muon_takes_each_expert_for_a_matrix_of_its_own() -> None:
    model, tokens = Transformer(SPEC), tokens_of(SPEC, 16, 12)
    before = model.weights()[DOWN].clone()
    model.train_step(tokens, tokens, OPTIMIZERS["muon"](model, 1.0))
    for update in model.weights()[DOWN] - before:  # each (width, hidden_width), orthogonal up to √(width/hidden_width)
        sizes = torch.linalg.svdvals(update.float()) / (8 / 6) ** 0.5
        assert ((sizes > 0.5) & (sizes < 1.3)).all()


def test_a_mixture_is_trained_in_bfloat16() -> None:
    model, tokens = Transformer(SPEC), tokens_of(SPEC, 4, 12)
    with torch.autocast("cpu", torch.bfloat16):
        _, details = model(tokens, tokens)
    model.backward(details)
    assert details.loss.isfinite() and details.balance.dtype == torch.float32
    assert all(gradient.isfinite().all() for gradient in model.gradients().values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"experts": {**EXPERTS.model_dump(), "shared_gate": True}}, "there are no shared experts"),
        ({"feedforward_bias": True}, "experts have no biases"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        SPEC.replace(**changes)
