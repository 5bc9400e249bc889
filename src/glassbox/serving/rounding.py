"""Numbers for JSON: six significant digits, which is more than a float32 computation is sure of and half as long."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

DIGITS = 6


def rounded(values: Tensor) -> Any:
    """Nested lists of the shape of `values`; infinities and NaN stay, and are null in JSON."""
    numbers = values.detach().cpu().double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.floor(np.log10(np.abs(numbers)))
    scale = 10.0 ** (DIGITS - 1 - np.where(np.isfinite(exponents), exponents, 0))
    return (np.round(numbers * scale) / scale).tolist()
