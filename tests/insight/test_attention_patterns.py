from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.insight import PATTERNS, attention_scores
from glassbox.insight.attention_patterns import row_entropies

TOKENS = torch.tensor([[5, 7, 9, 5, 7, 9, 5, 7]])
LENGTH = TOKENS.shape[1]


def looking_at(places: list[int]) -> torch.Tensor:
    """One head whose row i puts all weight on places[i]."""
    weights = torch.zeros(1, 1, LENGTH, LENGTH)
    weights[0, 0, range(LENGTH), places] = 1.0
    return weights


def even() -> torch.Tensor:
    seen = torch.ones(LENGTH, LENGTH).tril()
    return (seen / seen.sum(-1, keepdim=True))[None, None]


def scores_of(weights: torch.Tensor) -> dict[str, float]:
    return {pattern: float(score[0]) for pattern, score in attention_scores(weights, TOKENS).items()}


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("previous", [0, 0, 1, 2, 3, 4, 5, 6]),
        ("first", [0] * 8),
        ("self", list(range(8))),
        ("induction", [0, 0, 0, 1, 2, 3, 4, 5]),
        ("duplicate", [0, 0, 0, 0, 1, 2, 3, 4]),
    ],
)
def test_a_head_that_looks_at_one_place_only_scores_one_there_and_is_focused(pattern: str, places: list[int]):
    scores = scores_of(looking_at(places))
    assert scores[pattern] == pytest.approx(1)
    assert scores["focused"] == pytest.approx(1)
    assert scores["distributed"] == pytest.approx(0)
    others = [scores[other] for other in ("previous", "first", "self", "induction", "duplicate") if other != pattern]
    assert max(others) < 0.5


def test_the_prefix_matching_score_counts_what_followed_every_earlier_occurrence():
    weights = torch.zeros(1, 1, LENGTH, LENGTH)
    weights[0, 0, range(LENGTH), range(LENGTH)] = 1.0
    weights[0, 0, 6] = torch.tensor([0, 0.25, 0, 0, 0.5, 0, 0.25, 0])  # token 5 stood at 0 and 3
    rows_that_can = 5  # those at 3, 4, 5, 6 and 7
    assert scores_of(weights)["induction"] == pytest.approx(0.75 / rows_that_can)
    assert scores_of(weights)["duplicate"] == pytest.approx(0)


def test_even_attention_is_uniform_distributed_and_not_local():
    scores = scores_of(even())
    assert scores["uniform"] == pytest.approx(1)
    assert scores["distributed"] == pytest.approx(1)
    assert scores["local"] == pytest.approx(0)


def test_locality_is_the_mean_distance_beside_that_of_even_attention():
    previous = scores_of(looking_at([0, 0, 1, 2, 3, 4, 5, 6]))["local"]
    even_distance = sum(row / 2 for row in range(2, LENGTH)) / (LENGTH - 2)
    assert previous == pytest.approx(1 - 1 / even_distance)
    assert scores_of(looking_at(list(range(8))))["local"] == pytest.approx(1)
    assert scores_of(looking_at([0] * 8))["local"] == 0


def test_without_repetition_induction_and_duplicate_are_undefined():
    scores = attention_scores(even(), torch.arange(LENGTH)[None])
    assert torch.isnan(scores["induction"]).all()
    assert torch.isnan(scores["duplicate"]).all()
    assert not torch.isnan(scores["previous"]).any()


@given(st.integers(0, 10_000), st.integers(3, 12), st.booleans())
def test_every_score_of_any_attention_lies_between_zero_and_one(seed: int, length: int, causal: bool):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, (2, length), generator=generator)
    logits = 3 * torch.randn(2, 4, length, length, generator=generator)
    if causal:
        logits = logits + torch.full((length, length), -math.inf).triu(1)
    scores = attention_scores(logits.softmax(-1), tokens, causal=causal)
    assert list(scores) == list(PATTERNS)
    for score in scores.values():
        assert score.shape == (4,)
        assert ((score >= -1e-6) & (score <= 1 + 1e-6) | score.isnan()).all()


def test_entropies_are_in_bits():
    assert row_entropies(even())[0, 0].tolist() == pytest.approx([math.log2(row) for row in range(1, LENGTH + 1)])


def test_too_few_tokens_and_weights_of_other_tokens_are_refused():
    with pytest.raises(BadInput, match="three tokens"):
        attention_scores(torch.ones(1, 1, 2, 2) / 2, torch.tensor([[1, 2]]))
    with pytest.raises(BadInput, match="shape"):
        attention_scores(even(), torch.arange(5)[None])
