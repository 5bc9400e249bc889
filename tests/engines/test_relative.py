"""Relative positions tell near distances apart one by one and far ones by ranges, as T5 does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.engines.relative import relative_bucket
from glassbox.spec import ModelSpec


def described(kind: str, buckets: int, distance: int) -> ModelSpec:
    return ModelSpec.checked(
        {"kind": kind, "vocabulary_size": 2, "context": 1, "width": 1, "layers": 1, "heads": 1, "positions": "relative"}
        | {"relative_buckets": buckets, "relative_distance": distance}
    )


@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (32, 256), (8, 20), (64, 512)])
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_distances_fall_into_the_buckets_of_t5(kind: str, buckets: int, distance: int) -> None:
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5", reason="transformers is not installed")
    behind = torch.arange(-2_000, 2_001)  # how far the key stands behind the query
    expected = t5.T5Attention._relative_position_bucket(behind, kind == "encoder", buckets, distance)
    spec = described(kind, buckets, distance)
    assert [relative_bucket(spec, -place) for place in behind.tolist()] == expected.tolist()


@given(st.sampled_from(["decoder", "encoder"]), st.integers(1, 10), st.integers(50, 500), st.integers(0, 5_000))
def test_a_farther_key_is_in_the_same_bucket_or_a_later_one(kind: str, quarters: int, far: int, distance: int) -> None:
    spec = described(kind, 4 * quarters, far)
    near, next_one = relative_bucket(spec, distance), relative_bucket(spec, distance + 1)
    assert 0 <= near <= next_one < 4 * quarters
    assert relative_bucket(spec, far) == relative_bucket(spec, far + 10_000)
