"""The normal distribution for exact GELU, against the standard library's erfc."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glassbox.engines.arrays.gaussian import tail_and_density


@pytest.mark.parametrize(("dtype", "closest"), [(np.float64, 1e-15), (np.float32, 2e-7)])
def test_the_tail_and_the_density_are_exact_to_rounding(dtype: type, closest: float):
    x = np.concatenate((np.linspace(-40, 40, 20_001), np.linspace(-1e-3, 1e-3, 101))).astype(dtype)
    tail, density = tail_and_density(x)
    assert tail.dtype == density.dtype == dtype
    expected_tail = np.array([0.5 * math.erfc(abs(float(each)) / math.sqrt(2)) for each in x])
    expected_density = np.array([math.exp(-(float(each) ** 2) / 2) / math.sqrt(2 * math.pi) for each in x])
    assert np.abs(tail - expected_tail).max() <= closest
    assert np.abs(density - expected_density).max() <= closest


def test_what_came_in_is_left_alone():
    x = np.linspace(-3, 3, 50)
    before = x.copy()
    tail_and_density(x)
    np.testing.assert_array_equal(x, before)
