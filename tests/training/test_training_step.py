"""One update of the weights."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import SPEC, assert_same_bits, make_step

from glassbox.data.batches import Batch, Batches
from glassbox.engines.interface import IGNORED
from glassbox.spec import Experts
from glassbox.training.step import TrainingStep, dropout_seed


def gradients_after(step: TrainingStep, batch: Batch) -> dict[str, torch.Tensor]:
    step(0, batch, 0.0)
    return {name: gradient.clone() for name, gradient in step.model.gradients().items()}


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 4, 7])
def test_accumulated_micro_batches_equal_the_whole_batch(batches: Batches, micro_batch: int) -> None:
    whole, parts = (make_step(dtype=torch.float64, micro_batch=size) for size in (8, micro_batch))
    losses = [step(0, batches.batch(0), 1e-2).loss.item() for step in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)
    for name, weight in whole.model.weights().items():
        torch.testing.assert_close(weight, parts.model.weights()[name], rtol=0, atol=1e-12)


def test_the_load_balancing_loss_of_experts_is_told_beside_the_loss_and_pulls_at_the_router(batches: Batches) -> None:
    told, routers = [], []
    for share in (0.0, 0.5):
        experts = Experts(count=4, active=2, hidden_width=8, balance=share)
        step = make_step(SPEC.replace(experts=experts), micro_batch=4)
        told.append(step(0, batches.batch(0), 0.0))
        routers.append(step.model.gradients()["blocks.0.feedforward.router"])
    assert told[0].loss == told[1].loss
    assert told[0].balance == told[1].balance
    assert told[0].balance is not None and 2.0 <= told[0].balance.item() < 4
    assert not torch.allclose(*routers)
    assert make_step()(0, batches.batch(0), 0.0).balance is None


def test_accumulation_weighs_every_target_the_same_where_some_are_ignored(batches: Batches) -> None:
    inputs, targets = batches.batch(0)
    targets = targets.copy()
    targets[0, 3:] = IGNORED
    targets[5, :15] = IGNORED
    batch = Batch(inputs, targets)
    whole, parts = (gradients_after(make_step(dtype=torch.float64, micro_batch=size), batch) for size in (8, 2))
    for name, gradient in whole.items():
        torch.testing.assert_close(gradient, parts[name], rtol=0, atol=1e-12)


def test_a_micro_batch_without_targets_is_left_out_and_a_batch_without_any_has_no_loss(batches: Batches) -> None:
    inputs, targets = batches.batch(0)
    targets = targets.copy()
    targets[2:4] = IGNORED
    whole, parts = (
        gradients_after(make_step(dtype=torch.float64, micro_batch=size), Batch(inputs, targets)) for size in (8, 2)
    )
    for name, gradient in whole.items():
        torch.testing.assert_close(gradient, parts[name], rtol=0, atol=1e-12)
    nothing = Batch(inputs, np.full_like(targets, IGNORED))
    assert math.isnan(make_step(micro_batch=2)(0, nothing, 0.0).loss.item())


def test_a_step_is_what_pytorch_does_by_hand(batches: Batches) -> None:
    step, other = make_step(clip=0.5), make_step()
    batch = batches.batch(0)
    result = step(0, batch, 1e-2)

    matrices = [parameter for parameter in other.model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in other.model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    by_hand = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.99))
    logits, _ = other.model(torch.from_numpy(batch.inputs))
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), torch.from_numpy(batch.targets).reshape(-1)
    )
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(other.model.parameters(), 0.5)
    by_hand.step()

    assert result.loss.item() == pytest.approx(loss.item(), rel=1e-6)
    assert result.gradient_norm.item() == pytest.approx(norm.item(), rel=1e-6)
    for name, weight in step.model.weights().items():
        torch.testing.assert_close(weight, other.model.weights()[name])


def test_the_gradient_norm_is_that_before_clipping_and_the_gradients_are_clipped(batches: Batches) -> None:
    clipped, free = make_step(clip=0.01), make_step()
    norms = [step(0, batches.batch(0), 0.0).gradient_norm.item() for step in (clipped, free)]
    assert norms[0] == norms[1] > 0.01
    left = math.sqrt(sum(gradient.square().sum().item() for gradient in clipped.model.gradients().values()))
    assert left == pytest.approx(0.01, rel=1e-4)


def test_a_group_may_have_its_own_share_of_the_learning_rate(batches: Batches) -> None:
    step = make_step(optimizer="muon")
    step.optimizer.param_groups[1]["lr_factor"] = 0.5
    step(0, batches.batch(0), 0.2)
    assert [group["lr"] for group in step.optimizer.param_groups[:2]] == [0.2, 0.1]


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.02), ("fp16", 0.005)])
def test_a_narrow_number_format_follows_fp32_within_its_rounding(
    batches: Batches, precision: str, tolerance: float
) -> None:
    wide, narrow = make_step(), make_step(precision=precision)
    for number in range(20):
        losses = [step(number, batches.batch(number), 3e-3).loss.item() for step in (wide, narrow)]
        assert losses[1] == pytest.approx(losses[0], rel=tolerance)
    assert losses[0] != losses[1]
    assert all(weight.dtype == torch.float32 for weight in narrow.model.weights().values())


def test_fp16_skips_a_step_whose_gradients_overflow_and_lowers_its_scale(batches: Batches) -> None:
    step = make_step(precision="fp16")
    step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = {name: weight.clone() for name, weight in step.model.weights().items()}
    result = step(0, batches.batch(0), 1e-2)
    assert not math.isfinite(result.gradient_norm.item())
    assert_same_bits(before, step.model.weights())
    assert step.facts()["scale"] == 2.0**39
    other = make_step(precision="fp16")
    other.restore(step.facts())
    other(1, batches.batch(1), 1e-2)
    assert other.facts()["scale"] == 2.0**38


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_checkpointing_changes_no_bit(batches: Batches, dropout: float) -> None:
    plain, thrifty = (
        gradients_after(make_step(dropout=dropout, checkpointing=checkpointing), batches.batch(0))
        for checkpointing in (False, True)
    )
    assert_same_bits(plain, thrifty)


def test_dropout_is_a_function_of_seed_and_step_alone(batches: Batches) -> None:
    def loss(seed: int, number: int, disturbance: int = 0) -> float:
        step = make_step(dropout=0.5, seed=seed)
        torch.manual_seed(disturbance)
        return step(number, batches.batch(0), 0.0).loss.item()

    assert loss(1, 5) == loss(1, 5, disturbance=99)
    assert len({loss(1, 5), loss(1, 6), loss(2, 5)}) == 3


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_a_dropout_seed_is_one_that_pytorch_takes(seed: int, step: int) -> None:
    assert 0 <= dropout_seed(seed, step) < 2**56
    assert dropout_seed(seed, step) != dropout_seed(seed, step + 1)


def test_the_loss_for_evaluation_leaves_out_dropout_and_keeps_no_graph(batches: Batches) -> None:
    step, plain = make_step(dropout=0.5), make_step()
    inputs, targets = (torch.from_numpy(ids) for ids in batches.batch(0))
    loss = step.loss(inputs, targets)
    assert not loss.requires_grad
    assert loss.item() == plain.model(inputs, targets)[1].loss.item()
    assert step.model.training


def test_a_compiled_step_computes_the_same_numbers(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured as a graph, forward and backward; without the C++ compiler, which would take most of a minute."""
    compile_to = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", compile_to)
    eager, compiled = make_step(), make_step(compiled=True)
    for number in range(3):
        losses = [step(number, batches.batch(number), 1e-3).loss.item() for step in (eager, compiled)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_batch_smaller_than_the_micro_batch_is_one_pass(batches: Batches) -> None:
    big, exact = make_step(micro_batch=1000), make_step(micro_batch=8)
    assert_same_bits(*(gradients_after(step, batches.batch(0)) for step in (big, exact)))


def test_the_batch_is_not_changed(batches: Batches) -> None:
    batch = batches.batch(0)
    copy = Batch(batch.inputs.copy(), batch.targets.copy())
    make_step(micro_batch=3)(0, batch, 1e-2)
    assert np.array_equal(batch.inputs, copy.inputs)
    assert np.array_equal(batch.targets, copy.targets)
    assert SPEC.context == batch.inputs.shape[1]
