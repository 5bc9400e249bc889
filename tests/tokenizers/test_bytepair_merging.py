"""Applying merges to one piece: three functions, one result."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.tokenizers.bytepair_merging import Pair, merge, merge_long, merge_short, merge_steps

A, B = 0, 1


@st.composite
def tables(draw: st.DrawFn) -> dict[Pair, int]:
    """Merges of two bytes and what was made of them, in an order in which they could have been learned."""
    made_by: dict[Pair, int] = {}
    for _ in range(draw(st.integers(0, 12))):
        token = 256 + len(made_by)
        known = st.sampled_from([A, B, *range(256, token)])
        pair = (draw(known), draw(known))
        if pair not in made_by:
            made_by[pair] = token
    return made_by


@given(tables(), st.lists(st.sampled_from([A, B]), max_size=200))
def test_the_short_the_long_and_the_recording_way_agree(made_by: dict[Pair, int], piece: list[int]) -> None:
    tokens = merge_short(list(piece), made_by)
    assert merge_long(list(piece), made_by) == tokens
    assert merge(list(piece), made_by) == tokens
    steps = merge_steps(list(piece), made_by)
    if steps:
        last = steps[-1]
        assert [*last.tokens[: last.place], last.token, *last.tokens[last.place + 2 :]] == tokens
    else:
        assert piece == tokens


def test_each_step_joins_the_leftmost_of_the_pairs_that_were_learned_first() -> None:
    steps = merge_steps([A, B, A, B, B], {(A, B): 256, (B, A): 257, (256, 256): 258})
    assert [(step.tokens, step.place, step.token) for step in steps] == [
        ((A, B, A, B, B), 0, 256),
        ((256, A, B, B), 1, 256),
        ((256, 256, B), 0, 258),
    ]
    assert steps[0].candidates == ((0, 256), (1, 257), (2, 256))


@pytest.mark.parametrize("alphabet", [[A], [A, B], [A, B, 2, 3, 4, 5, 6, 7, 8, 9]])
def test_a_piece_of_a_million_bytes_ends(alphabet: list[int]) -> None:
    """By looking through all of it for each merge, this would take days."""
    random.seed(0)
    made_by = {(A, A): 256, (256, 256): 257, (257, 257): 258, (A, B): 259, (2, 3): 260, (259, 260): 261, (9, 9): 262}
    piece = random.choices(alphabet, k=1_000_000)
    tokens = merge(list(piece), made_by)
    pairs_left = set(pairwise(tokens)) & made_by.keys()
    assert not pairs_left
    spelled: dict[int, list[int]] = {byte: [byte] for byte in range(10)}
    for (left, right), token in made_by.items():
        spelled[token] = spelled[left] + spelled[right]
    assert [byte for token in tokens for byte in spelled[token]] == piece
