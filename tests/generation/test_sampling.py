"""Sampling: the processors of `transformers` are the referee, and a draw belongs to its row alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.generation import Decoding
from glassbox.generation.sampling import (
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_frequency,
    penalize_presence,
    penalize_repetition,
    uniform_numbers,
    warped,
)

transformers = pytest.importorskip("transformers", reason="transformers is not installed")


def logits_of(seed: int, rows: int = 3, vocabulary: int = 40) -> torch.Tensor:
    return 3 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_top_k_is_that_of_transformers(seed: int, k: int) -> None:
    logits = logits_of(seed)
    assert torch.equal(keep_top_k(logits, k), transformers.TopKLogitsWarper(k)(None, logits))


@given(st.integers(0, 10**6), st.floats(0.01, 0.999))
def test_top_p_is_that_of_transformers(seed: int, p: float) -> None:
    logits = logits_of(seed).double()
    assert torch.equal(keep_top_p(logits, p), transformers.TopPLogitsWarper(p)(None, logits))


@given(st.integers(0, 10**6), st.floats(0.001, 1))
def test_min_p_is_that_of_transformers(seed: int, p: float) -> None:
    logits = logits_of(seed).double()
    assert torch.equal(keep_min_p(logits, p), transformers.MinPLogitsWarper(p)(None, logits))


@given(st.integers(0, 10**6), st.floats(0.1, 5))
def test_the_repetition_penalty_is_that_of_transformers(seed: int, penalty: float) -> None:
    logits, ids = logits_of(seed), torch.tensor([[1, 2, 2], [5, 39, 0], [7, 7, 7]])
    seen = torch.zeros_like(logits).scatter_(1, ids, 1.0)
    expected = transformers.RepetitionPenaltyLogitsProcessor(penalty)(ids, logits)
    torch.testing.assert_close(penalize_repetition(logits, seen, penalty), expected)


def test_warping_keeps_the_order_of_transformers() -> None:
    logits = logits_of(1).double()
    steps = [
        transformers.TemperatureLogitsWarper(0.7),
        transformers.TopKLogitsWarper(12),
        transformers.TopPLogitsWarper(0.9),
        transformers.MinPLogitsWarper(0.05),
    ]
    expected = logits
    for step in steps:
        expected = step(None, expected)
    decoding = Decoding(temperature=0.7, top_k=12, top_p=0.9, min_p=0.05)
    torch.testing.assert_close(warped(logits, decoding), expected)


def test_presence_counts_once_and_frequency_each_time() -> None:
    logits, counts = torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 3.0]])
    assert penalize_presence(logits, counts, 0.5).tolist() == [[0, -0.5, -0.5]]
    assert penalize_frequency(logits, counts, 0.5).tolist() == [[0, -0.5, -1.5]]


@given(st.integers(0, 2**64 - 1), st.integers(0, 1000), st.integers(0, 1000))
def test_a_uniform_number_depends_on_seed_row_and_position_alone(seed: int, row: int, position: int) -> None:
    rows, positions = np.arange(row, row + 3, dtype=np.uint64), np.arange(position, position + 4, dtype=np.uint64)
    together = uniform_numbers(seed, rows[:, None], positions)
    alone = uniform_numbers(seed, rows[1:2], positions[2:3])
    assert together[1, 2] == alone[0]
    assert ((together >= 0) & (together < 1)).all()
    assert len(np.unique(together)) == together.size


def test_uniform_numbers_are_uniform_and_their_neighbours_unrelated() -> None:
    numbers = uniform_numbers(7, np.arange(300, dtype=np.uint64)[:, None], np.arange(300, dtype=np.uint64))
    counts = np.histogram(numbers, bins=100, range=(0, 1))[0]
    assert ((counts - 900) ** 2 / 900).sum() < 150  # chi-square with 99 degrees of freedom: 1 in 1,300 beyond
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]) < 0.015


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.25, 0.0, 0.125, 0.125]).log()
    uniform = torch.linspace(0, 1, 8001, dtype=torch.float64)[:-1]
    drawn = draw(logits.expand(8000, 5), uniform)
    assert torch.bincount(drawn, minlength=5).tolist() == pytest.approx([4000, 2000, 0, 1000, 1000], abs=2)


def test_what_is_ruled_out_is_never_drawn_even_at_the_edges() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).expand(3, 5)
    assert draw(logits, torch.tensor([0.0, 1 - 2.0**-53, 1.0], dtype=torch.float64)).tolist() == [1, 3, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0}, {"temperature": -1}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0.0},
        {"top_p": 1.1}, {"min_p": -0.1}, {"repetition_penalty": 0.0}, {"presence_penalty": float("inf")},
        {"frequency_penalty": float("nan")}, {"seed": -1}, {"alternatives": -1}, {"stop": ("",)}, {"at_limit": "go"},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_bad_input(fields: dict) -> None:
    with pytest.raises(BadInput):
        Decoding(**fields)
