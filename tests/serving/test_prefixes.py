"""What earlier requests held is found again by how they began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glassbox.serving import prefixes as module
from glassbox.serving.prefixes import Prefixes, common


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORTEST", 2)


def held(ids: Sequence[int]) -> Tensor:
    """Keys and values that show whose they are, (layers, 2, key_value_heads, tokens, head_width): sums of all before,
    as a real key depends on all before.
    """
    return torch.tensor(ids, dtype=torch.float32).cumsum(0).expand(3, 2, 1, -1).unsqueeze(-1)


rows = st.lists(st.integers(0, 2), max_size=8)


@given(st.lists(rows, max_size=8), rows)
def test_the_longest_beginning_that_is_known_is_found(kept: list[list[int]], wanted: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHORTEST", 2)
        prefixes = Prefixes()
        for ids in kept:
            prefixes.keep(ids, held(ids))
        known = prefixes.find(wanted)
    shared = [common_length(ids, wanted) for ids in kept if len(ids) >= 2]
    longest = max(shared, default=0)
    if longest < 2:
        assert known is None
    else:
        assert known is not None
        assert torch.equal(known, held(wanted[:longest]))


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return length


def test_nothing_in_common_is_nothing() -> None:
    ids = [np.array(each, np.int64) for each in ([1, 2, 3], [2, 2, 3], [1, 2, 4], [])]
    assert [common(ids[0], other) for other in ids] == [3, 0, 2, 0]


def test_what_goes_on_takes_the_place_of_its_beginning() -> None:
    prefixes = Prefixes()
    prefixes.keep([1, 2, 3], held([1, 2, 3]))
    prefixes.keep([1, 2, 3, 4], held([1, 2, 3, 4]))
    prefixes.keep([1, 2], held([1, 2]))
    assert len(prefixes) == 1


def test_what_was_not_asked_for_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 2 * held([1, 2, 3]).contiguous().nbytes)
    prefixes = Prefixes()
    for first in (1, 2):
        prefixes.keep([first] * 3, held([first] * 3))
    assert prefixes.find([1] * 3) is not None
    prefixes.keep([3] * 3, held([3] * 3))
    assert prefixes.find([2] * 3) is None
    assert prefixes.find([1] * 3) is not None
    prefixes.keep([4] * 7, held([4] * 7))  # more than all of the room
    assert prefixes.find([4] * 7) is None
    assert prefixes.find([3] * 3) is not None


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    prefixes = Prefixes()
    for first in range(4):
        prefixes.keep([first] * 3, held([first] * 3))
    assert len(prefixes) == 2
    assert [prefixes.find([first] * 3) is None for first in range(4)] == [True, True, False, False]
