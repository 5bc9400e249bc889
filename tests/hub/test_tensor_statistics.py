"""Statistics of tensors in a file, beside NumPy's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save_file

from glassbox.errors import BadInput
from glassbox.hub import tensor_statistics as module
from glassbox.hub.tensor_file import TensorFile
from glassbox.hub.tensor_statistics import tensor_statistics

NUMBERS = arrays(np.float32, array_shapes(max_dims=3, max_side=7), elements=st.floats(-1e3, 1e3, width=32))


@given(NUMBERS, st.integers(1, 70))
def test_they_are_numpys_however_the_tensor_is_cut_into_pieces(
    tmp_path_factory: pytest.TempPathFactory, numbers: np.ndarray, at_once: int
):
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    save_file({"a": numbers}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AT_ONCE", at_once)
        found = tensor_statistics(TensorFile(path), "a", bins=8)
    exact = numbers.astype(np.float64)
    assert (found.shape, found.numbers, found.not_finite) == (numbers.shape, numbers.size, 0)
    assert (found.least, found.largest) == (exact.min(), exact.max())
    assert found.zeros == np.count_nonzero(numbers == 0)
    assert found.mean == pytest.approx(exact.mean(), abs=1e-9)
    assert found.deviation == pytest.approx(exact.std(), abs=1e-6)
    assert found.norm == pytest.approx(np.linalg.norm(exact), rel=1e-12)
    assert sum(found.counts) == numbers.size


def test_the_histogram_is_numpys(tmp_path: Path):
    numbers = np.random.default_rng(0).normal(size=5000)
    save_file({"a": numbers}, tmp_path / "f.safetensors")
    found = tensor_statistics(TensorFile(tmp_path / "f.safetensors"), "a", bins=16)
    assert list(found.counts) == np.histogram(numbers, 16)[0].tolist()


def test_what_is_not_finite_is_counted_and_left_out(tmp_path: Path):
    save_file({"a": np.array([1.0, np.nan, -np.inf, 3.0]), "b": np.array([np.nan])}, tmp_path / "f.safetensors")
    file = TensorFile(tmp_path / "f.safetensors")
    found = tensor_statistics(file, "a")
    assert (found.not_finite, found.least, found.largest, found.mean) == (2, 1.0, 3.0, 2.0)
    nothing = tensor_statistics(file, "b")
    assert (nothing.not_finite, nothing.mean, nothing.deviation, nothing.counts) == (1, None, None, ())


def test_the_widest_range_of_float64_has_a_histogram(tmp_path: Path):
    save_file({"a": np.array([-1.7e308, 0.0, 1.7e308])}, tmp_path / "f.safetensors")
    found = tensor_statistics(TensorFile(tmp_path / "f.safetensors"), "a", bins=3)
    assert found.counts == (1, 1, 1)
    assert found.norm is None  # beyond float64


def test_an_empty_tensor_has_no_numbers_to_speak_of(tmp_path: Path):
    save_file({"a": np.zeros((0, 3), np.float32)}, tmp_path / "f.safetensors")
    found = tensor_statistics(TensorFile(tmp_path / "f.safetensors"), "a")
    assert (found.numbers, found.mean, found.counts) == (0, None, ())


def test_bfloat16_and_integers_are_read(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from safetensors.torch import save_file as save_torch

    tensors = {"half": torch.tensor([0.5, -2.0], dtype=torch.bfloat16), "whole": torch.tensor([3, 4])}
    save_torch(tensors, tmp_path / "f.safetensors")
    file = TensorFile(tmp_path / "f.safetensors")
    assert (tensor_statistics(file, "half").least, tensor_statistics(file, "half").format) == (-2.0, "BF16")
    assert tensor_statistics(file, "whole").norm == 5.0


def test_a_number_format_that_numpy_lacks_is_refused(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from safetensors.torch import save_file as save_torch

    save_torch({"a": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "f.safetensors")
    with pytest.raises(BadInput, match="F8_E4M3"):
        tensor_statistics(TensorFile(tmp_path / "f.safetensors"), "a")


def test_an_unknown_name_and_a_file_that_shrank_are_told(tmp_path: Path):
    save_file({"a": np.ones(1000)}, tmp_path / "f.safetensors")
    file = TensorFile(tmp_path / "f.safetensors")
    with pytest.raises(BadInput, match="no tensor called 'b'"):
        tensor_statistics(file, "b")
    with file.path.open("r+b") as stream:
        stream.truncate(500)
    with pytest.raises(BadInput, match="can't be read"):
        tensor_statistics(file, "a")
