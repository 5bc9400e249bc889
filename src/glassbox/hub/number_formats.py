"""Numbers as they lie in a file, and from one format into another.

NumPy has no bfloat16: an array of it is its bits as uint16, which can be cut, turned and stacked like any other, and is
widened to float32 only where its values are wanted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glassbox.errors import BadInput

Format = Literal["F64", "F32", "F16", "BF16"]
"""As safetensors names the floating-point formats that weights come in."""

FORMATS: dict[Format, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
"""Format -> the NumPy type that holds it."""

_BY_WIDTH: tuple[Format, ...] = ("F64", "F32", "F16", "BF16")

NAMES: dict[str, Format] = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""As everybody else calls them."""


def as_format(code: str) -> Format | None:
    """What safetensors calls a type, if it is a plain floating-point format."""
    return next((known for known in FORMATS if known == code), None)


def widest(formats: Collection[Format]) -> Format:
    """The one among them that holds the others' numbers best."""
    return next(code for code in _BY_WIDTH if code in formats)


def name_of(number_format: Format) -> str:
    """`float32` for F32."""
    return next(name for name, code in NAMES.items() if code == number_format)


def convert(array: NDArray[Any], source: Format, target: Format) -> NDArray[Any]:
    """The same numbers in another format, rounded to the nearest (ties to even) where it is narrower.

    Raises BadInput for a number that the target has no room for: it would become infinite.
    """
    return array if source == target else narrow(widen(array, source), target)


def widen(array: NDArray[Any], source: str) -> NDArray[Any]:
    """Numbers to compute with: float32 of BF16 and F16, any other format as it is."""
    if source == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if source == "F16" else array


def narrow(array: NDArray[Any], target: Format) -> NDArray[Any]:
    """float32 or float64 numbers as `target` holds them. Raises BadInput as `convert`."""
    with np.errstate(over="ignore"):
        if target == "BF16":
            single = array.astype(np.float32)
            bits = single.view(np.uint32)
            rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)  # half goes to the even one
            narrowed = np.where(np.isnan(single), np.uint16(0x7FC0), rounded)
        else:
            narrowed = array.astype(FORMATS[target])
        overflown = np.isinf(widen(narrowed, target)) & np.isfinite(array)
    if overflown.any():
        raise BadInput(
            f"A weight is {float(np.abs(array[overflown]).max()):g}, more than {name_of(target)} can hold.",
            "Choose bfloat16 or float32.",
        )
    return narrowed
