"""A safetensors file, read and written one tensor at a time.

The format is eight bytes with the length of a header, the header (JSON: name -> format, shape, first and last byte),
and the tensors' bytes. The library of that name maps a whole file into memory, or writes from a dictionary that holds
everything; a checkpoint passes through here with one tensor in memory. And because files come from strangers, all that
the header promises is checked against the size of the file before anything is allocated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from glassbox.errors import BadInput
from glassbox.hub.number_formats import FORMATS, widen
from glassbox.hub.strict_json import parse_object

Shape = tuple[int, ...]

LONGEST_HEADER = 100_000_000  # bytes, as in the library
_TYPES: dict[str, np.dtype[Any]] = {
    **FORMATS,
    "I64": np.dtype("<i8"), "U64": np.dtype("<u8"), "I32": np.dtype("<i4"), "U32": np.dtype("<u4"),
    "I16": np.dtype("<i2"), "U16": np.dtype("<u2"), "I8": np.dtype("i1"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("u1"), "F8_E4M3": np.dtype("u1"), "F8_E5M2": np.dtype("u1"),
}  # fmt: skip
_REMEDY = "Copy or download the file again; it is damaged or no safetensors file."


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: `start` counts from the beginning of the file."""

    type: str
    shape: Shape
    start: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * _TYPES[self.type].itemsize


class TensorFile:
    """A safetensors file to read from. Raises BadInput unless its header is whole and true to the file's size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                header, start = self._header(file, size)
        except OSError as error:
            raise BadInput(f"{path} can't be read: {error.strerror}.", "Check the path and its permissions.") from None
        self.metadata = header.pop("__metadata__", {})
        self.entries = {name: self._entry(name, value, start) for name, value in header.items()}
        self._check_layout(start, size)

    def read(self, name: str) -> NDArray[Any]:
        """A copy of one tensor, in the NumPy type of `number_formats.FORMATS`. Raises BadInput if the file shrank."""
        entry = self.entries[name]
        try:
            array = np.fromfile(self.path, _TYPES[entry.type], math.prod(entry.shape), offset=entry.start)
            return array.reshape(entry.shape)
        except (OSError, ValueError) as error:
            raise BadInput(f"{name} can't be read from {self.path}: {error}.", _REMEDY) from None

    def pieces(self, name: str, at_once: int) -> Iterator[NDArray[Any]]:
        """One tensor's numbers in order, flat, at most so many at once: for tensors larger than memory.

        Raises BadInput if the file shrank.
        """
        entry = self.entries[name]
        kind, left = _TYPES[entry.type], math.prod(entry.shape)
        try:
            with self.path.open("rb") as file:
                file.seek(entry.start)
                while left:
                    piece = np.fromfile(file, kind, min(left, at_once))
                    if not len(piece):
                        raise ValueError("the file ends before it does")
                    left -= len(piece)
                    yield piece
        except (OSError, ValueError) as error:
            raise BadInput(f"{name} can't be read from {self.path}: {error}.", _REMEDY) from None

    def _header(self, file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            raise BadInput(f"{self.path} has {size:,} bytes and promises a header of {length:,}.", _REMEDY)
        return parse_object(file.read(length), f"The header of {self.path}", _REMEDY), 8 + length

    def _entry(self, name: str, value: object, start: int) -> Entry:
        match value:
            case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(first), int(last)]}:
                if kind not in _TYPES:
                    raise BadInput(
                        f"{name} in {self.path} has the unknown number format {kind}.",
                        f"Save it in one of {', '.join(_TYPES)}.",
                    )
                if not all(type(length) is int and length >= 0 for length in shape):
                    raise BadInput(f"{name} in {self.path} has the impossible shape {shape}.", _REMEDY)
                entry = Entry(kind, tuple(shape), start + first)
                if first >= 0 and last - first == entry.bytes:
                    return entry
            case _:
                pass
        raise BadInput(f"The header of {self.path} doesn't say truly where {name} lies.", _REMEDY)

    def _check_layout(self, start: int, size: int) -> None:
        """The tensors follow one another without gap or overlap, to the last byte of the file."""
        end = start
        for name, entry in sorted(self.entries.items(), key=lambda item: (item[1].start, item[1].bytes)):
            if entry.start != end:
                raise BadInput(f"In {self.path}, {name} begins at byte {entry.start:,} and not at {end:,}.", _REMEDY)
            end += entry.bytes
        if end != size:
            raise BadInput(f"{self.path} should have {end:,} bytes by its header, and it has {size:,}.", _REMEDY)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that is read when NumPy asks for its numbers (`np.asarray`), each time anew."""

    file: TensorFile
    name: str

    @property
    def shape(self) -> Shape:
        return self.file.entries[self.name].shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        numbers = widen(self.file.read(self.name), self.file.entries[self.name].type)
        return numbers if dtype is None else numbers.astype(dtype, copy=False)


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of a file by name; bfloat16 and float16 come as float32. Raises BadInput as `TensorFile`."""
    file = TensorFile(path)
    return {name: StoredTensor(file, name) for name in file.entries}


class TensorFileWriter:
    """Writes the tensors announced, in any order. Leaving its `with` block without an error demands that all came."""

    def __init__(self, path: Path, announced: Mapping[str, tuple[str, Shape]], metadata: Mapping[str, str]) -> None:
        """announced: name -> number format and shape. Raises OSError."""
        # Wide numbers first, so that every tensor begins at a multiple of its numbers' size.
        order = sorted(announced, key=lambda name: -_TYPES[announced[name][0]].itemsize)
        header: dict[str, Any] = {"__metadata__": dict(metadata)}
        self._entries: dict[str, Entry] = {}
        end = 0
        for name in order:
            entry = Entry(*announced[name], end)
            end += entry.bytes
            self._entries[name] = entry
            header[name] = {"dtype": entry.type, "shape": entry.shape, "data_offsets": [entry.start, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._missing = set(announced)
        self._file = path.open("wb")
        self._start = self._file.write(len(text).to_bytes(8, "little") + text)

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Raises OSError."""
        entry = self._entries[name]
        kind = _TYPES[entry.type]
        if array.shape != entry.shape or array.dtype != kind:
            raise ValueError(f"{name}: announced {entry.shape} {kind}, given {array.shape} {array.dtype}")
        self._file.seek(self._start + entry.start)
        self._file.write(np.ascontiguousarray(array).data)
        self._missing.discard(name)

    def __enter__(self) -> TensorFileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is None and self._missing:
            raise ValueError(f"never written: {', '.join(sorted(self._missing))}")
