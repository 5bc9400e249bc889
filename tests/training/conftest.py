"""Fixtures for training; what they are made of is in tiny.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny import SPEC, write_shards

from glassbox.data.batches import Batches
from glassbox.data.shards import Shards


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices gain nothing from more, and tests must not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def batches(shards: Shards) -> Batches:
    return Batches(shards.split("train"), 8, SPEC.context, seed=1)
