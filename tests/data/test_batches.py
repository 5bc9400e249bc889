"""Batches: pure functions of seed and step that show every window once an epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.batches import Batches, shuffled, validation_windows
from glassbox.data.shards import ShardSplit, SplitDescription, TokenStream
from glassbox.errors import BadInput

sizes = st.integers(2, 400)
contexts = st.integers(1, 40)
seeds = st.integers(0, 2**63 - 1)
keys = st.lists(st.integers(0, 2**64 - 1).map(np.uint64), min_size=6, max_size=6)


def counting(size: int, files: int = 1) -> ShardSplit:
    """A split whose tokens are 0, 1, 2, ..., so that a token tells its place."""
    parts = [part.astype(np.uint32) for part in np.array_split(np.arange(size), files)]
    description = SplitDescription(tokens=size, documents=1, bytes=size, files=[])
    return ShardSplit("train", description, TokenStream(parts), np.zeros(1, np.int64))


@given(sizes, contexts, st.integers(1, 9), seeds, st.integers(0, 10**12))
def test_targets_are_the_inputs_moved_on_by_one(size: int, context: int, batch_size: int, seed: int, step: int) -> None:
    context = min(context, size - 1)
    inputs, targets = Batches(counting(size, files=3), batch_size, context, seed).batch(step)
    assert inputs.shape == targets.shape == (batch_size, context)
    assert inputs.dtype == targets.dtype == np.int64
    assert inputs.flags.c_contiguous
    assert targets.flags.c_contiguous
    assert (targets == inputs + 1).all()
    assert (inputs == inputs[:, :1] + np.arange(context)).all()
    assert targets.max() < size


@given(sizes, contexts, st.integers(1, 9), seeds)
def test_an_epoch_shows_windows_side_by_side_once_each(size: int, context: int, batch_size: int, seed: int) -> None:
    context = min(context, size - 1)
    batches = Batches(counting(size), batch_size, context, seed)
    starts = np.concatenate([batches.batch(step).inputs[:, 0] for step in range(3 * batches.windows // batch_size + 1)])
    for epoch in range(3):
        ordered = np.sort(starts[epoch * batches.windows : (epoch + 1) * batches.windows])
        assert (np.diff(ordered) == context).all()
        assert len(ordered) == batches.windows
        missed = size - 1 - batches.windows * context  # predictions that this epoch leaves to the others
        assert missed < max(2 * context, 1)


@given(sizes, st.integers(1, 9), seeds, st.lists(st.integers(0, 50), min_size=1, max_size=10))
def test_a_batch_does_not_depend_on_those_before_it(size: int, batch_size: int, seed: int, steps: list[int]) -> None:
    context = min(5, size - 1)
    used = Batches(counting(size), batch_size, context, seed)
    for step in steps:
        fresh = Batches(counting(size), batch_size, context, seed)
        assert (used.batch(step).inputs == fresh.batch(step).inputs).all()


@given(sizes, st.integers(0, 12), st.integers(1, 4), seeds, st.integers(0, 1000))
def test_the_parts_of_all_ranks_are_the_batch(size: int, more: int, world_size: int, seed: int, step: int) -> None:
    context = min(5, size - 1)
    batch_size = world_size + more
    whole = Batches(counting(size), batch_size, context, seed).batch(step)
    parts = [
        Batches(counting(size), batch_size, context, seed, rank=rank, world_size=world_size).batch(step)
        for rank in range(world_size)
    ]
    shares = [len(part.inputs) for part in parts]
    assert max(shares) - min(shares) <= 1
    assert (np.concatenate([part.inputs for part in parts]) == whole.inputs).all()
    assert (np.concatenate([part.targets for part in parts]) == whole.targets).all()


@given(st.integers(1, 3000), keys)
def test_shuffling_is_a_bijection_for_any_size_and_keys(size: int, keys: list[np.uint64]) -> None:
    assert sorted(shuffled(np.arange(size), size, keys).tolist()) == list(range(size))


@given(st.integers(10**9, 10**13), keys)
def test_shuffling_a_part_of_a_billion_windows_costs_the_part_only(size: int, keys: list[np.uint64]) -> None:
    places = np.arange(size - 64, size)
    numbers = shuffled(places, size, keys)
    assert len(set(numbers.tolist())) == 64
    assert 0 <= numbers.min() <= numbers.max() < size


def test_the_order_looks_random() -> None:
    """Serial correlation and the spread of places over the whole lie where a random permutation's would."""
    size = 10_007
    for seed in range(20):
        order = Batches(counting(size * 4), 1, 4, seed)
        numbers = np.array([order.batch(step).inputs[0, 0] for step in range(500)]) // 4
        assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.2  # four and a half standard deviations
        counts = np.bincount(numbers * 10 // size, minlength=10)[:10]
        assert ((counts - 50) ** 2 / 50).sum() < 40  # chi squared with 9 degrees of freedom: p = 1e-5


def test_every_order_of_three_windows_comes_up_about_as_often() -> None:
    batches = Batches(counting(3 * 8 + 8), 3, 8, seed=0)
    assert batches.windows == 3
    orders = Counter(tuple(np.argsort(batches.batch(epoch).inputs[:, 0]).tolist()) for epoch in range(1200))
    assert len(orders) == 6
    assert all(100 < count < 320 for count in orders.values())


def test_epochs_and_seeds_cut_the_stream_elsewhere_and_order_it_anew() -> None:
    def epoch(seed: int, number: int) -> list[int]:
        batches = Batches(counting(2000), 1, 10, seed)
        return [int(batches.batch(number * batches.windows + step).inputs[0, 0]) for step in range(batches.windows)]

    orders = [epoch(seed, number) for seed in (0, 1) for number in range(10)]
    assert len({tuple(order) for order in orders}) == 20
    assert len({order[0] % 10 for order in orders}) > 5


def test_a_batch_larger_than_an_epoch_runs_on_into_the_next_ones() -> None:
    batches = Batches(counting(21), 10, 5, seed=3)
    assert batches.windows == 3
    starts = batches.batch(0).inputs[:, 0]
    for epoch in range(3):
        assert (np.diff(np.sort(starts[epoch * 3 : epoch * 3 + 3])) == 5).all()


@given(st.integers(2, 300), contexts, st.integers(1, 7))
def test_validation_predicts_every_token_after_the_first_exactly_once(size: int, context: int, batch_size: int) -> None:
    windows = list(validation_windows(counting(size, files=2), context, batch_size))
    assert np.concatenate([targets.ravel() for _, targets in windows]).tolist() == list(range(1, size))
    assert np.concatenate([inputs.ravel() for inputs, _ in windows]).tolist() == list(range(size - 1))
    assert all(inputs.shape[0] <= batch_size and inputs.shape[1] <= context for inputs, _ in windows)


def test_a_context_longer_than_the_data_is_refused_with_both_numbers() -> None:
    with pytest.raises(BadInput, match="has 8 tokens; a context of 8 needs at least 9"):
        Batches(counting(8), 1, 8, seed=0)
    assert Batches(counting(9), 1, 8, seed=0).batch(5).inputs.tolist() == [list(range(8))]


def test_what_makes_no_batch_is_refused() -> None:
    with pytest.raises(BadInput, match="context of 0"):
        Batches(counting(8), 1, 0, seed=0)
    for batch_size, rank, world_size in ((0, 0, 1), (1, 0, 2), (4, 2, 2)):
        with pytest.raises(BadInput, match="cannot be shared by"):
            Batches(counting(8), batch_size, 2, seed=0, rank=rank, world_size=world_size)
    with pytest.raises(BadInput, match="has 1 tokens; a prediction needs two"):
        validation_windows(counting(1), 4, 4)
    with pytest.raises(ValueError, match="steps count from 0"):
        Batches(counting(8), 1, 2, seed=0).batch(-1)
