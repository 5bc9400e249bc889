"""Rows keep what they hold while others come, go and move beside them."""

from __future__ import annotations

from unittest import mock

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glassbox.serving import slots as slots_module
from glassbox.serving.slots import Slots
from glassbox.spec import ModelSpec

CONTEXT = 40
SPEC = ModelSpec(vocabulary_size=5, context=CONTEXT, width=8, layers=2, heads=2, key_value_heads=1)
LIKE = torch.empty(0, dtype=torch.float64)


def values(count: int, seed: int) -> Tensor:
    """Keys and values of a row: (layers, 2, key_value_heads, tokens, head_width), none of them 0."""
    generator = torch.Generator().manual_seed(seed)
    return 1 + torch.rand(2, 2, 1, count, 4, generator=generator, dtype=torch.float64)


def step(slots: Slots, rows: list[Tensor], seed: int) -> list[Tensor]:
    """What a `Step` does: write the next slot of all rows."""
    cache = slots.cache()
    new = [values(1, 1000 * seed + row) for row in range(len(rows))]
    cache.store[:, :, :, :, cache.length] = torch.stack([each[:, :, :, 0] for each in new], 2)
    cache.length += 1
    return [torch.cat(pair, 3) for pair in zip(rows, new, strict=True)]


def assert_hold(slots: Slots, rows: list[Tensor]) -> None:
    assert len(slots) == len(rows)
    for row, expected in enumerate(rows):
        assert slots.count(row) == expected.shape[3]
        assert torch.equal(slots.held(row), expected)


def assert_seen_by_a_step(slots: Slots, rows: list[Tensor]) -> None:
    """Of each row what it holds, at the end, and before it nothing but zeros that are hidden."""
    cache = slots.cache()
    assert cache.capacity > cache.length
    for row, expected in enumerate(rows):
        hidden = 0 if cache.padding is None else int(cache.padding[row])
        assert cache.length - hidden == expected.shape[3]
        assert torch.equal(cache.store[:, :, row, :, hidden : cache.length], expected)
        assert not cache.store[:, :, row, :, :hidden].any()


events = st.one_of(
    st.tuples(st.just("join"), st.integers(0, CONTEXT - 1)),
    st.tuples(st.just("leave"), st.integers(0, 3)),
    st.tuples(st.just("step"), st.integers(1, 30)),
    st.tuples(st.just("look"), st.just(0)),
)


@given(st.lists(events, max_size=30), st.sampled_from([2, 16, 64]))
@settings(max_examples=200)
def test_rows_hold_what_was_put_into_them(history: list[tuple[str, int]], first_length: int) -> None:
    with mock.patch.object(slots_module, "FIRST_LENGTH", first_length):
        slots = Slots(SPEC, 4, like=LIKE)
    rows: list[Tensor] = []
    for number, (event, amount) in enumerate(history):
        if event == "join" and len(rows) < 4:
            rows.append(values(amount, number))
            slots.join(rows[-1])
        elif event == "leave" and amount < len(rows):
            slots.leave(amount)
            last = rows.pop()
            if amount < len(rows):
                rows[amount] = last
        elif event == "step" and rows:
            longest = max(row.shape[3] for row in rows)
            for again in range(min(amount, CONTEXT - longest)):
                rows = step(slots, rows, 100 * number + again)
        elif event == "look":
            assert_hold(slots, rows)
        assert slots.longest == max((row.shape[3] for row in rows), default=0)
        if rows and slots.longest < CONTEXT:
            assert_seen_by_a_step(slots, rows)
    assert_hold(slots, rows)


def test_what_is_no_number_does_not_outlive_its_row() -> None:
    slots = Slots(SPEC, 2, like=LIKE)
    slots.join(torch.full_like(values(30, 0), torch.nan))
    slots.leave(0)
    slots.join(values(20, 1))
    slots.join(torch.full_like(values(25, 0), torch.nan))
    slots.clear()
    rows = [values(3, 2), values(30, 3)]
    for row in rows:
        slots.join(row)
    assert_seen_by_a_step(slots, rows)


def test_memory_follows_the_longest_row_and_not_the_context() -> None:
    spec = SPEC.replace(context=1_000_000)
    slots = Slots(spec, 4, like=LIKE)
    slots.join(values(10, 0))
    assert slots.length == 64
    slots.join(values(100, 1))
    assert slots.length == 128
    assert_hold(slots, [values(10, 0), values(100, 1)])
