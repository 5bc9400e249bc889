"""The memory of this process, measured."""

import numpy as np
import pytest

from glassbox.engines import memory


def test_the_peak_is_never_below_what_is_held() -> None:
    assert memory.peak() >= 0.9 * memory.resident()


def test_without_linux_the_peak_of_the_process_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_linux = memory.peak()
    monkeypatch.setattr("sys.platform", "freebsd")
    assert memory.peak() >= 0.5 * on_linux


def test_what_is_free_in_the_process_is_given_back() -> None:
    kept = []
    blocks = []
    for _ in range(4_000):  # small blocks, which the C library takes from its heap, one after another
        blocks.append(np.ones(8_000))  # 64 kB
        kept.append(np.ones(8))  # each keeps the heap from shrinking at its end
    held = memory.resident()
    del blocks
    memory.give_back()
    assert memory.resident() < held - 150_000_000
    assert len(kept) == 4_000
