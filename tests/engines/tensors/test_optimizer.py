"""The optimisers against PyTorch's own in float64; orthogonalisation against the singular value decomposition."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import OPTIMIZERS, SGD, Adam, AdamW, Muon, Optimizer, orthogonalize, role_of
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes

SPEC = ModelSpec(
    vocabulary_size=11, context=8, width=8, layers=2, heads=2, key_value_heads=1, qk_norm=True, activation="swiglu"
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(step: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(SPEC.vocabulary_size, (3, SPEC.context + 1), generator=torch.Generator().manual_seed(step))
    return ids[:, :-1], ids[:, 1:]


def train(model: Transformer, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    return [model.train_step(*batch(step), optimizer) for step in steps]


def assert_close(left: Transformer, right: Transformer, tolerance: float) -> None:
    for name, weight in left.weights().items():
        torch.testing.assert_close(
            weight, right.weights()[name], rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


REFERENCES: dict[str, tuple[Callable[[Transformer], Optimizer], Callable[[Transformer], torch.optim.Optimizer]]] = {
    "SGD": (
        lambda model: SGD(model, 0.05, momentum=0.8),
        lambda model: torch.optim.SGD(model.parameters(), 0.05, momentum=0.8),
    ),
    "Adam": (
        lambda model: Adam(model, 3e-3, betas=(0.8, 0.97), epsilon=1e-7),
        lambda model: torch.optim.Adam(model.parameters(), 3e-3, betas=(0.8, 0.97), eps=1e-7),
    ),
    "AdamW": (
        lambda model: AdamW(model, 3e-3, betas=(0.8, 0.97), weight_decay=0.3),
        lambda model: torch.optim.AdamW(
            [
                {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.3},
                {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
            ],
            3e-3,
            betas=(0.8, 0.97),
        ),
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_twenty_steps_equal_pytorchs_optimizer(name: str) -> None:
    ours, theirs = (Transformer(SPEC, seed=1).double() for _ in range(2))
    build, build_reference = REFERENCES[name]
    losses = train(ours, build(ours), range(20))
    assert losses == pytest.approx(train(theirs, build_reference(theirs), range(20)), abs=1e-12)
    assert_close(ours, theirs, 1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_group_follows_the_learning_rate_that_is_set_on_it(name: str) -> None:
    model = Transformer(SPEC, seed=1)
    optimizer = OPTIMIZERS[name](model, 0.01)
    before = {name: weight.clone() for name, weight in model.weights().items()}
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.01 * group["lr_factor"])
        group["lr"] = 0.0
    train(model, optimizer, range(1))
    assert all(torch.equal(weight, before[name]) for name, weight in model.weights().items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_saved_state_goes_on_with_the_same_bits(name: str) -> None:
    straight = Transformer(SPEC, seed=1)
    optimizer = OPTIMIZERS[name](straight, 0.01)
    train(straight, optimizer, range(4))
    weights = {name: weight.clone() for name, weight in straight.weights().items()}
    state = {name: tensor.clone() for name, tensor in optimizer.named_state().items()}
    train(straight, optimizer, range(4, 8))

    resumed = Transformer(SPEC, weights=weights)
    again = OPTIMIZERS[name](resumed, 0.01)
    again.load_named_state(state)
    train(resumed, again, range(4, 8))
    for name, weight in straight.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_named_by_canonical_weights(name: str) -> None:
    model = Transformer(SPEC)
    state = OPTIMIZERS[name](model, 0.01).named_state()
    shapes = weight_shapes(SPEC)
    assert state.pop("steps").shape == ()
    assert {key.rpartition(".")[0] for key in state} == set(shapes)
    for key, tensor in state.items():
        assert tuple(tensor.shape) == shapes[key.rpartition(".")[0]]


def test_state_of_another_optimizer_or_model_is_refused_and_changes_nothing() -> None:
    model = Transformer(SPEC)
    optimizer = AdamW(model)
    train(model, optimizer, range(2))
    before = {name: tensor.clone() for name, tensor in optimizer.named_state().items()}
    with pytest.raises(BadInput, match="only one of the two"):
        optimizer.load_named_state(SGD(model).named_state())
    other = Transformer(SPEC.replace(vocabulary_size=12))
    with pytest.raises(BadInput, match=r"embedding\.tokens\.first_moment has shape \(12, 8\) instead of \(11, 8\)"):
        optimizer.load_named_state(AdamW(other).named_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in optimizer.named_state().items())


def test_weights_without_a_gradient_stay_as_they_are() -> None:
    model = Transformer(SPEC)
    optimizer = Muon(model)
    before = {name: weight.clone() for name, weight in model.weights().items()}
    optimizer.step()
    assert all(torch.equal(weight, before[name]) for name, weight in model.weights().items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_a_batch_by_heart(name: str) -> None:
    model = Transformer(SPEC, seed=1)
    optimizer = OPTIMIZERS[name](model, {"sgd": 0.3, "muon": 0.05}.get(name, 0.01))
    losses = [model.train_step(*batch(0), optimizer) for _ in range(100)]
    assert losses[0] > 2.3
    assert losses[-1] < 0.2


# Muon


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.floats(1e-6, 1e6))
def test_orthogonal_matrices_have_the_singular_vectors_and_values_near_one(
    count: int, rows: int, columns: int, seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randn(count, rows, columns, generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    values = values.clamp(min=0.01 * matrices.norm(dim=(-2, -1)).max())  # what is smaller need not arrive
    matrices = scale * left @ torch.diag_embed(values) @ right
    found = orthogonalize(matrices)
    inside = left.mT @ found @ right.mT  # diagonal if the singular vectors are the matrix's own
    diagonal = inside.diagonal(dim1=-2, dim2=-1)
    assert torch.all((diagonal - 1).abs() < 0.25)
    torch.testing.assert_close(inside, torch.diag_embed(diagonal), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, left @ torch.diag_embed(diagonal) @ right, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 64, 64), (2, 96, 32), (2, 32, 96)])
def test_no_singular_value_runs_away_in_the_training_format(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(shape, generator=generator)
    thin = torch.randn(shape[0], shape[1], 4, generator=generator) @ torch.randn(
        shape[0], 4, shape[2], generator=generator
    )
    for matrices in (full, thin, thin + 1e-3 * full):  # of few directions, as gradients are
        found = orthogonalize(matrices)
        assert found.dtype == torch.float32
        assert found.shape == shape
        assert torch.linalg.svdvals(found).max() < 1.2


def test_the_orthogonal_matrix_of_nothing_is_nothing() -> None:
    assert not orthogonalize(torch.zeros(2, 3, 5)).any()


def test_muon_takes_query_key_and_value_apart() -> None:
    """One update of each canonical matrix alone, by the definition."""
    model = Transformer(SPEC, seed=1).double()
    before = {name: weight.clone() for name, weight in model.weights().items()}
    optimizer = Muon(model, 0.1, momentum=0.9, weight_decay=0.2)
    train(model, optimizer, range(1))
    for name, gradient in model.gradients().items():
        if role_of(name, gradient.ndim, tied=False) != "hidden":
            continue
        update = orthogonalize(gradient[None])[0]  # after one step, momentum points where the gradient does
        expected = before[name] * (1 - 0.1 * 0.2) - 0.1 * max(1, gradient.shape[0] / gradient.shape[1]) ** 0.5 * update
        torch.testing.assert_close(model.weights()[name], expected, rtol=0, atol=1e-6)


def test_muon_leaves_embeddings_output_and_vectors_to_adam() -> None:
    roles = {name: role_of(name, len(shape), tied=False) for name, shape in weight_shapes(SPEC).items()}
    assert roles["embedding.tokens"] == "embedding"
    assert roles["output.weight"] == "output"
    assert roles["final_norm.gain"] == roles["blocks.0.attention.query_norm.gain"] == "vector"
    assert {name for name, role in roles.items() if role == "hidden"} == {
        f"blocks.{layer}.{part}"
        for layer in range(2)
        for part in (
            *(f"attention.{name}" for name in ("query", "key", "value", "output")),
            *(f"feedforward.{name}" for name in ("gate", "up", "down")),
        )
    }
    assert role_of("embedding.tokens", 2, tied=True) == "output"


def test_momentum_warms_up() -> None:
    model = Transformer(SPEC)
    optimizer = Muon(model, momentum=0.95, momentum_warmup=10)
    seen = []
    for step in range(12):
        train(model, optimizer, range(step, step + 1))
        seen.append(optimizer.momentum_now())
    assert seen[0] == pytest.approx(0.86)
    assert seen == sorted(seen)
    assert seen[9:] == pytest.approx([0.95] * 3)
