"""Safetensors, as the library writes and reads it; and what is wrong with files that aren't."""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file, save_file

from glassbox.errors import BadInput
from glassbox.hub.number_formats import FORMATS, convert, narrow, widen
from glassbox.hub.tensor_file import TensorFile, TensorFileWriter


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    held = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(7, np.int64), "empty": np.zeros((0, 4))}
    save_file(held, tmp_path / "x.safetensors", metadata={"format": "pt"})
    file = TensorFile(tmp_path / "x.safetensors")
    assert file.metadata == {"format": "pt"}
    assert file.entries.keys() == held.keys()
    for name, array in held.items():
        np.testing.assert_array_equal(file.read(name), array)


def test_what_is_written_in_any_order_the_library_reads(tmp_path: Path) -> None:
    held = {"a": np.ones((3,), np.int8), "b": np.arange(4.0).reshape(2, 2), "c": np.ones((1,), np.float16)}
    announced = {"a": ("I8", (3,)), "b": ("F64", (2, 2)), "c": ("F16", (1,))}
    with TensorFileWriter(tmp_path / "x.safetensors", announced, {}) as file:
        for name in ("c", "a", "b"):
            file.write(name, held[name].T)
    for name, array in load_file(tmp_path / "x.safetensors").items():
        np.testing.assert_array_equal(array, held[name].T)
    starts = [entry.start for entry in TensorFile(tmp_path / "x.safetensors").entries.values()]
    assert starts[0] % 8 == 0


def test_a_writer_demands_what_was_announced(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never written: b"):  # noqa: SIM117  (leaving the inner one is what raises)
        with TensorFileWriter(tmp_path / "x", {"a": ("F32", (1,)), "b": ("F32", (1,))}, {}) as file:
            file.write("a", np.ones(1, np.float32))
    with pytest.raises(ValueError, match="announced"):
        TensorFileWriter(tmp_path / "y", {"a": ("F32", (1,))}, {}).write("a", np.ones(2, np.float32))


def written(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DAMAGED: dict[str, tuple[Any, bytes, str]] = {
    "a header that isn't JSON": (b"{nonsense", b"", "isn't JSON"),
    "a header that isn't UTF-8": (b'{"\xff": 1}', b"", "isn't JSON"),
    "a header that is a list": ([1], b"", "should hold a JSON object, not list"),
    "a name given twice": (b'{"a": 1, "a": 2}', b"", "twice"),
    "NaN": (b'{"a": NaN}', b"", "holds NaN"),
    "brackets without end": (b"[" * 200_000, b"", "isn't JSON"),
    "a terabyte": ({"a": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}, b"", "by its header"),
    "a product that overflows 64 bits": (
        {"a": {"dtype": "F32", "shape": [2**32, 2**32, 4], "data_offsets": [0, 0]}}, b"", "where a lies"
    ),
    "too few bytes": ({"a": F32}, b"1234567", "should have"),
    "too many bytes": ({"a": F32}, b"123456789", "should have"),
    "overlapping tensors": ({"a": F32, "b": F32}, b"12345678", "begins at byte"),
    "a gap": ({"a": F32 | {"data_offsets": [8, 16]}}, b"x" * 16, "begins at byte"),
    "a negative start": ({"a": F32 | {"data_offsets": [-8, 0]}}, b"", "where a lies"),
    "a negative length": ({"a": F32 | {"shape": [-2]}}, b"12345678", "impossible shape"),
    "a shape of booleans": ({"a": F32 | {"shape": [True, 2]}}, b"12345678", "impossible shape"),
    "a fractional shape": ({"a": F32 | {"shape": [2.0]}}, b"12345678", "impossible shape"),
    "an unknown format": ({"a": F32 | {"dtype": "F3"}}, b"12345678", "unknown number format F3"),
    "no offsets": ({"a": {"dtype": "F32", "shape": [2]}}, b"12345678", "where a lies"),
    "a tensor that is a word": ({"a": "weights"}, b"12345678", "where a lies"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_with_what_is_wrong(case: str, tmp_path: Path) -> None:
    header, data, said = DAMAGED[case]
    with pytest.raises(BadInput, match=said):
        TensorFile(written(tmp_path / "x.safetensors", header, data))


def test_files_shorter_than_their_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for content in (b"", b"1234567", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 3) + b"{}"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="promises a header"):
            TensorFile(path)
    with pytest.raises(BadInput, match="can't be read"):
        TensorFile(tmp_path / "missing")


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    save_file({"a": np.ones(100)}, tmp_path / "x.safetensors")
    file = TensorFile(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"short")
    with pytest.raises(BadInput, match="a can't be read"):
        file.read("a")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        with contextlib.suppress(BadInput):
            TensorFile(Path(file.name))


BELOW = 2.0**127


@given(arrays.arrays(np.float32, st.integers(0, 20), elements=st.floats(-BELOW, BELOW, width=32)))
def test_bfloat16_is_rounded_as_others_round_it(numbers: Any) -> None:
    expected = numbers.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(narrow(numbers, "BF16"), expected.view(np.uint16))
    np.testing.assert_array_equal(widen(expected.view(np.uint16), "BF16"), expected.astype(np.float32))


@pytest.mark.parametrize("number_format", FORMATS)
def test_not_a_number_stays_not_a_number(number_format: Any) -> None:
    assert np.isnan(widen(narrow(np.array([np.nan], np.float32), number_format), number_format)).all()


def test_a_number_too_large_for_its_format_is_refused() -> None:
    assert convert(np.array([65_504.0]), "F64", "F16") == 65_504
    with pytest.raises(BadInput, match="100000, more than float16 can hold"):
        convert(np.array([1.0, -1e5]), "F64", "F16")
    with pytest.raises(BadInput, match="more than bfloat16"):
        convert(np.array([3.4e38], np.float32), "F32", "BF16")
