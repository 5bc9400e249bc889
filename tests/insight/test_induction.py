"""A two-layer model learns to go on with what is repeated; the heads that do it are found, and are what does it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from glassbox.engines.tensors import Transformer
from glassbox.insight import ablate_heads, detect_heads, heads_on_repeated
from glassbox.insight.head_detection import Heads, repeated_random_tokens
from glassbox.spec import ModelSpec

LENGTH = 32
SPEC = ModelSpec(vocabulary_size=64, context=LENGTH, width=64, layers=2, heads=4, hidden_width=8)
HEADS = [(layer, head) for layer in range(SPEC.layers) for head in range(SPEC.heads)]
UNIFORM = math.log(SPEC.vocabulary_size)


def trained_to_copy(steps: int = 450) -> Transformer:
    """Rows repeat random tokens, each with a period of its own, so that the place alone never tells what comes."""
    torch.manual_seed(0)
    model = Transformer(SPEC, 0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, betas=(0.9, 0.98), weight_decay=0.5)
    places = torch.arange(LENGTH)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 30)
        period = torch.randint(4, LENGTH // 2 + 1, (64, 1))
        tokens = torch.randint(SPEC.vocabulary_size, (64, LENGTH)).gather(1, places % period)
        targets = tokens[:, 1:].masked_fill(places[1:] <= period, -1)  # what nobody could know
        loss = F.cross_entropy(model(tokens)[0][:, :-1].flatten(0, 1), targets.flatten(), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def copying() -> Transformer:
    return trained_to_copy()


@pytest.fixture(scope="module")
def repeated() -> torch.Tensor:
    return repeated_random_tokens(SPEC, rows=32, half=LENGTH // 2, seed=5)


@pytest.fixture(scope="module")
def heads(copying: Transformer, repeated: torch.Tensor) -> Heads:
    return detect_heads(copying, repeated, on_repeated=heads_on_repeated(copying, repeated))


@pytest.mark.slow
def test_the_model_copies(copying: Transformer, repeated: torch.Tensor):
    losses = ablate_heads(copying, repeated, ())
    assert losses[:, LENGTH // 2 :].mean() < 0.6
    assert losses[:, : LENGTH // 2 - 1].mean() > 0.9 * UNIFORM


@pytest.mark.slow
def test_induction_heads_are_found_in_the_second_layer_and_previous_token_heads_in_the_first(heads: Heads):
    assert {layer for layer, head in HEADS if "induction" in heads.found(layer, head)} == {1}
    assert {layer for layer, head in HEADS if "previous" in heads.found(layer, head)} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_without_the_induction_heads_copying_is_gone_and_without_the_uninvolved_ones_it_stays(
    copying: Transformer, repeated: torch.Tensor, heads: Heads, kind
):
    def loss_without(chosen: list[tuple[int, int]]) -> float:
        return float(ablate_heads(copying, repeated, chosen, kind)[:, LENGTH // 2 :].mean())

    induction = [one for one in HEADS if "induction" in heads.found(*one)]
    feeding = [one for one in HEADS if "previous" in heads.found(*one)]  # induction reads what these write
    uninvolved = [one for one in HEADS if one not in induction + feeding]
    assert uninvolved
    assert loss_without(induction) > 0.9 * UNIFORM
    assert loss_without(feeding) > 0.9 * UNIFORM
    assert loss_without(uninvolved) < loss_without([]) + 0.1 * UNIFORM


@pytest.mark.slow
def test_the_table_says_by_how_much_each_head_matters(copying: Transformer, repeated: torch.Tensor, heads: Heads):
    half = LENGTH // 2
    usual = ablate_heads(copying, repeated, ())
    without = ablate_heads(copying, repeated, [(0, 2)])
    assert heads.ablation[0, 2].item() == pytest.approx((without.mean() - usual.mean()).item(), abs=1e-5)
    assert heads.on_repeated[0, 2].item() == pytest.approx(
        (without[:, half:].mean() - usual[:, half:].mean()).item(), abs=1e-5
    )
