"""How two files of tensors differ, beside NumPy on whole arrays."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save_file

from glassbox.hub import tensor_statistics
from glassbox.hub.tensor_difference import compare_files
from glassbox.hub.tensor_file import TensorFile

PAIRS = array_shapes(max_dims=3, max_side=6).flatmap(
    lambda shape: st.tuples(*[arrays(np.float32, shape, elements=st.floats(-100, 100, width=32))] * 2)
)


def files(folder: Path, first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> tuple[TensorFile, TensorFile]:
    save_file(first, folder / "first.safetensors")
    save_file(second, folder / "second.safetensors")
    return TensorFile(folder / "first.safetensors"), TensorFile(folder / "second.safetensors")


@given(PAIRS, st.integers(1, 50))
def test_each_number_is_numpys_however_the_tensors_are_cut(
    tmp_path_factory: pytest.TempPathFactory, pair: tuple[np.ndarray, np.ndarray], at_once: int
):
    before, after = (each.astype(np.float64) for each in pair)
    first, second = files(tmp_path_factory.mktemp("pair"), {"a": pair[0]}, {"a": pair[1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_statistics, "AT_ONCE", at_once)
        patch.setattr("glassbox.hub.tensor_difference.AT_ONCE", at_once)
        found = compare_files(first, second).tensors[0]
    apart = after - before
    assert found.norm == pytest.approx(np.linalg.norm(apart))
    assert found.largest == np.abs(apart).max()
    assert found.changed == np.count_nonzero(apart)
    if found.at is None:
        assert not apart.any()
    else:
        assert abs(apart[found.at]) == found.largest
    if before.any() and after.any():
        lengths = np.linalg.norm(before) * np.linalg.norm(after)
        assert found.cosine == pytest.approx(float((before * after).sum() / lengths), abs=1e-9)
        assert found.relative == pytest.approx(np.linalg.norm(apart) / np.linalg.norm(before))
    else:
        assert found.cosine is None


def test_what_only_one_has_and_what_changed_its_shape_is_told(tmp_path: Path):
    one = np.ones(2, np.float32)
    first, second = files(
        tmp_path, {"same": one, "gone": one, "grown": one}, {"same": one, "new": one, "grown": np.ones(3)}
    )
    found = compare_files(first, second)
    assert (found.added, found.removed) == (("new",), ("gone",))
    assert found.reshaped == {"grown": ((2,), (3,))}
    same = found.tensors[0]
    assert (same.name, same.changed, same.norm, same.relative, same.at) == ("same", 0, 0.0, 0.0, None)
    assert same.cosine == pytest.approx(1.0)


def test_numbers_that_are_not_finite_leave_no_nan_behind(tmp_path: Path):
    first, second = files(tmp_path, {"a": np.array([1.0, np.nan, np.nan])}, {"a": np.array([1.5, np.nan, 2.0])})
    found = compare_files(first, second).tensors[0]
    assert (found.norm, found.cosine, found.largest, found.at, found.changed) == (None, None, 0.5, (0,), 2)


def test_a_scalar_and_an_empty_tensor_are_compared_too(tmp_path: Path):
    first, second = files(
        tmp_path, {"s": np.array(1.0), "e": np.zeros((0, 2))}, {"s": np.array(3.0), "e": np.zeros((0, 2))}
    )
    scalar, empty = sorted(compare_files(first, second).tensors, key=lambda one: one.name, reverse=True)
    assert (scalar.largest, scalar.at) == (2.0, ())
    assert (empty.norm, empty.cosine, empty.at) == (0.0, None, None)


def test_different_number_formats_of_equal_numbers_do_not_differ(tmp_path: Path):
    first, second = files(tmp_path, {"a": np.array([0.5, 2.0], np.float16)}, {"a": np.array([0.5, 2.0], np.float64)})
    assert compare_files(first, second).tensors[0].changed == 0


def test_memory_does_not_grow_with_the_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensor_statistics, "AT_ONCE", 10_000)
    monkeypatch.setattr("glassbox.hub.tensor_difference.AT_ONCE", 10_000)
    numbers = np.random.default_rng(0).normal(size=1_000_000)  # 8 MB
    first, second = files(tmp_path, {"a": numbers}, {"a": numbers + 1})
    tracemalloc.start()
    try:
        compare_files(first, second)
        tensor_statistics.tensor_statistics(first, "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
