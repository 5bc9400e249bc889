"""A GGUF file (version 3), written one tensor at a time.

Four letters and counts; then named values, each with its type; then for each tensor its name, shape, number format and
place; then the tensors, each at a multiple of 32 bytes. Shapes are written last dimension first.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glassbox.hub.number_formats import FORMATS, Format

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
TENSOR_TYPES: dict[Format, int] = {"F32": 0, "F16": 1, "BF16": 30}
FILE_TYPES: dict[Format, int] = {"F32": 0, "F16": 1, "BF16": 32}
"""general.file_type: what most of a file's tensors are."""

_BOOL, _STRING, _ARRAY = 7, 8, 9
_PACKED: dict[type, tuple[int, str]] = {int: (4, "<I"), float: (6, "<f"), bool: (_BOOL, "<?")}

Value = str | int | float | bool | Sequence[str] | Sequence[int] | Sequence[float]
"""Whole numbers are written as uint32, in lists as int32, which is what llama.cpp asks for."""


@dataclass(frozen=True)
class _Place:
    format: Format
    shape: tuple[int, ...]
    start: int


class GgufWriter:
    """Writes the values and tensors announced. Leaving its `with` block without an error demands that all came."""

    def __init__(
        self, path: Path, values: Mapping[str, Value], announced: Mapping[str, tuple[Format, tuple[int, ...]]]
    ) -> None:
        """announced: name -> number format and shape of each tensor. Raises OSError."""
        head = MAGIC + struct.pack("<IQQ", VERSION, len(announced), len(values))
        head += b"".join(_string(name) + _typed(value) for name, value in values.items())
        self._places: dict[str, _Place] = {}
        end = 0
        for name, (code, shape) in announced.items():
            self._places[name] = _Place(code, shape, end)
            head += _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
            head += struct.pack("<IQ", TENSOR_TYPES[code], end)
            end += _aligned(math.prod(shape) * FORMATS[code].itemsize)
        self._start = _aligned(len(head))
        self._missing = set(announced)
        self._file = path.open("wb")
        self._file.write(head)
        self._file.truncate(self._start + end)  # the gaps are zeros

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Raises OSError."""
        place = self._places[name]
        if array.shape != place.shape or array.dtype != FORMATS[place.format]:
            raise ValueError(f"{name}: announced {place.shape} {place.format}, given {array.shape} {array.dtype}")
        self._file.seek(self._start + place.start)
        self._file.write(np.ascontiguousarray(array).data)
        self._missing.discard(name)

    def __enter__(self) -> GgufWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is None and self._missing:
            raise ValueError(f"never written: {', '.join(sorted(self._missing))}")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _typed(value: Value) -> bytes:
    """A value behind its type."""
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value, bool | int | float):
        code, packing = _PACKED[type(value)]
        return struct.pack("<I", code) + struct.pack(packing, value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(_string(str(text)) for text in value)
    code, kind = (6, "<f4") if value and isinstance(value[0], float) else (5, "<i4")
    return struct.pack("<IIQ", _ARRAY, code, len(value)) + np.array(value, kind).tobytes()
